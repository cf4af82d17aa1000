"""Apps that do something at import, one each, which the next request shows."""

import sys

from flask import Flask


def app_that_says(look) -> Flask:
    """An app whose only page is what this function returns."""
    app = Flask("imports", static_folder=None)
    app.add_url_rule("/", "index", lambda: str(look()))
    return app


def say(*words: object) -> None:
    """Write a line to the log."""
    print(*words, file=sys.stderr, flush=True)
