"""A factory that fails."""


def create_app():
    raise RuntimeError("the database is away")
