"""An app that cannot start without a setting of its own."""

import os

from flask import Flask

greeting = os.environ["GREETING"]
app = Flask(__name__)


@app.get("/")
def greet() -> str:
    return greeting
