"""An app that fails in every way that a server logs."""

import os
import time

from flask import Flask, Response, request

app = Flask(__name__)


@app.route("/fine", methods=["GET", "POST"])
def fine() -> str:
    return f"{len(request.get_data())} bytes"


@app.get("/fail")
def fail() -> str:
    raise LookupError("the view fails")


@app.get("/die")
def die() -> str:
    os._exit(1)


@app.get("/huge")
def huge() -> Response:
    return Response(headers=[("X-Huge", "x" * 4000)] * 40)


@app.get("/half")
def half() -> Response:
    def body():
        yield b"half"
        raise LookupError("the body fails")

    return Response(body(), headers={"Content-Length": "8"})


@app.get("/wait")
def wait() -> str:
    time.sleep(request.args.get("seconds", 1, float))
    return "awake"
