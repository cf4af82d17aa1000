"""A whole app in one file."""

from flask import Flask, url_for

app = Flask(__name__)


@app.get("/")
def note() -> str:
    return f"This note is at {url_for('note')}."
