"""An app in which much goes wrong."""

import os
import sys
import time

from flask import Flask, redirect, request, session
from flask_wtf.csrf import CSRFProtect

app = Flask(__name__)
app.config["WTF_CSRF_CHECK_DEFAULT"] = False
csrf = CSRFProtect(app)


@app.get("/")
def index():
    return "as it was"


@app.get("/exit")
def end_the_worker():
    os._exit(1)


@app.get("/wait")
def wait():
    time.sleep(30)
    return "at last"


@app.get("/login")
def login():
    session["name"] = "me"  # there is no secret key
    return "hello"


@app.post("/form")
def form():
    app.secret_key = "made up here"
    try:
        csrf.protect()
    finally:
        app.secret_key = None
    return "done"


@app.get("/secure")
def secure():
    return "safe" if request.is_secure else redirect(request.url.replace("http:", "https:"))


@app.get("/print")
def show():
    print("printed by the app", request.path)
    print("printed to standard error", file=sys.stderr)
    return "printed"


@app.get("/open")
def read():
    with open("words.txt") as file:  # noqa: PTH123
        return file.read()
