"""An app that a function makes at import."""

from imports import app_that_says

count = 0


def create_app():
    global count
    count += 1
    return app_that_says(lambda: count)


app = create_app()
