"""An app with configurable responses, which counts its requests."""

import itertools
import os
import threading
import time
from collections import Counter, defaultdict

from flask import Flask, Response, request

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]

CONDITIONS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")

# In one worker's memory: these tests run with one.
_told: dict[str, dict] = {}
_asked: dict[str, Counter[str]] = defaultdict(Counter)
_numbers = itertools.count(1)
_lock = threading.Lock()


@app.get("/")
def front_page() -> Response:
    """A public page."""
    return Response("news\n", headers={"Cache-Control": "public, max-age=60"})


@app.put("/page/<name>")
def tell(name: str) -> str:
    """Set the response of the page of this name, and its delay in seconds."""
    _told[name] = request.get_json()
    return ""


@app.get("/asked/<name>")
def asked(name: str) -> dict[str, int]:
    """The number of requests for this page, by method."""
    return _asked[name]


@app.get("/page/<name>")
def page(name: str) -> Response:
    """The configured response, with a unique number."""
    told = _told.get(name, {})
    with _lock:
        _asked[name][request.method] += 1
        number = next(_numbers)
    time.sleep(told.get("seconds", 0))
    if told.get("exit"):
        os._exit(1)
    # Who asked, in every way an app may come to believe.
    body = f"{number} {request.url} {request.headers.get('X-Colour')} {request.get_data()!r}\n"
    if told.get("streamed"):  # without a length
        return Response(iter([body]), headers=told["headers"])
    response = Response(body + told.get("more", ""), told.get("status", 200))
    response.headers["X-Conditions"] = " ".join(
        request.headers.get(name, "-") for name in CONDITIONS
    )
    for header, value in told.get("headers", []):
        response.headers.add(header, value)
    return response.make_conditional(request, accept_ranges=True, complete_length=len(body))
