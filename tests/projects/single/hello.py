"""A single file, without requirements."""

import flask

app = flask.Flask(__name__)


@app.get("/")
def hello() -> str:
    return "hello"
