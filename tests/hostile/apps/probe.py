"""An app that says exactly what reached it, for requests that are not meant kindly."""

import hashlib
import os
import time

from flask import Flask, Response, request

app = Flask(__name__)
METHODS = ["GET", "POST", "PUT"]


@app.route("/seen", methods=METHODS)
@app.route("/seen/<path:rest>", methods=METHODS)
def seen(rest: str = "") -> dict[str, object]:
    """What the client sent and the servers passed on; the body is not read."""
    theirs = ("REQUEST_URI", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE")
    return {
        name: value
        for name, value in request.environ.items()
        if name.startswith("HTTP_") or name in theirs
    }


@app.post("/read")
def read() -> dict[str, object]:
    body = request.get_data()
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@app.post("/unread", defaults={"status": 401})
@app.post("/unread/<int:status>")
def unread(status: int) -> tuple[dict[str, bool], int]:
    return {"unread": True}, status


@app.post("/fields")
def fields() -> dict[str, int]:
    return {"fields": len(request.form)}


@app.get("/response")
def response_of_a_size() -> Response:
    """`?cookies=` cookies of `?size=` bytes, and a body of `?body=` bytes."""
    response = Response(bytes(request.args.get("body", 0, int)))
    for number in range(request.args.get("cookies", 0, int)):
        response.headers.add("Set-Cookie", f"c{number}=" + "v" * request.args.get("size", 0, int))
    return response


@app.get("/public")
def public() -> Response:
    """A public page that contains unkeyed input."""
    response = Response(str(request.headers))
    response.cache_control.public = True
    response.cache_control.max_age = 60
    return response


@app.route("/fetch/<path:url>")
def fetch(url: str) -> str:
    return url


@app.get("/exit")
def leave() -> None:
    """End the worker in the middle of a request."""
    os._exit(1)


@app.get("/wait")
def wait() -> str:
    time.sleep(request.args.get("seconds", 1, float))
    return "awake"


@app.get("/teapot")
def teapot() -> tuple[str, int]:
    return "short and stout", request.args.get("status", 418, int)
