"""Responses of many kinds to compress, or not."""

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, make_response, request

app = Flask(__name__)
TEXT = "".join(f"<li>Item number {number}</li>\n" for number in range(2000))


@app.route("/text", methods=["GET", "POST"])
def text() -> Response:
    """Text of any type and size, with any headers."""
    arguments = request.args.to_dict()
    body = TEXT[: int(arguments.pop("size", len(TEXT)))]
    response = Response(body, int(arguments.pop("status", 200)))
    response.headers.extend(arguments)
    return response


@app.get("/tag")
def tag() -> Response:
    """Text with a strong ETag, conditional and in ranges."""
    response = make_response(TEXT)
    response.set_etag("abc")
    return response.make_conditional(request, accept_ranges=True, complete_length=len(TEXT))


@app.get("/public")
def public() -> Response:
    """For nginx's cache; with the number of the call."""
    response = Response(f"{time.monotonic_ns()} {TEXT}")
    response.headers["Accept-Ranges"] = "bytes"
    response.cache_control.public = True
    response.cache_control.max_age = 600
    return response


@app.get("/packed")
def packed() -> Response:
    """Compressed by the app itself."""
    return Response(gzip.compress(TEXT.encode()), headers={"Content-Encoding": "gzip"})


@app.get("/login")
def login() -> Response:
    """Sets a cookie."""
    response = Response(TEXT)
    response.set_cookie("session", "secret")
    return response


@app.get("/stream")
def stream() -> Response:
    """Two lines, the second one when the gate is open."""
    gate = Path(os.environ["GATE"], "open")

    def lines() -> Iterator[str]:
        yield "first\n"
        while not gate.exists():
            time.sleep(0.02)
        yield "second\n"

    return Response(lines(), mimetype="text/plain", headers={"X-Accel-Buffering": "no"})


@app.get("/broken")
def broken() -> Response:
    """Breaks off in the middle of a body, with or without a length."""

    def parts() -> Iterator[str]:
        yield TEXT
        raise RuntimeError("in the middle")

    headers = {"Content-Length": str(2 * len(TEXT))} if "length" in request.args else {}
    return Response(parts(), headers=headers)
