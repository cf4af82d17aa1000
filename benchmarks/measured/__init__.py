"""The app that is measured: the same for every server, and ordinary in what it does."""

import os
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, render_template, request

app = Flask(__name__)

_ORDERS = [
    {
        "number": 1000 + n,
        "customer": ("Ada Lovelace", "Grace Hopper", "Alan Turing")[n % 3],
        "items": n % 7 + 1,
        "total": round(19.9 * (n % 7 + 1), 2),
        "paid": n % 4 != 0,
        "note": "leave it with the neighbours & ring twice" if n % 5 == 0 else "",
    }
    for n in range(20)
]


@app.get("/tiny")
def tiny() -> Response:
    """A few bytes of text."""
    return Response("Hello\n", mimetype="text/plain")


@app.get("/json")
def json() -> Response:
    """Two kilobytes of JSON."""
    return jsonify(orders=_ORDERS)


@app.get("/template")
def template() -> str:
    """A page of about eight kilobytes: a base template, loops, conditions, filters, links."""
    return render_template("orders.html", orders=_ORDERS[:15])


@app.post("/form")
def form() -> Response:
    """A form of a few fields."""
    name = request.form["name"]
    amount = request.form.get("amount", 0, type=int)
    colours = ", ".join(request.form.getlist("colour"))
    return Response(f"{name} wants {amount} in {colours}\n", mimetype="text/plain")


@app.get("/bytes/<int:size>")
def size(size: int) -> Response:
    """A response of a given size."""
    return Response("x" * size, mimetype="text/plain")


@app.get("/stream")
def stream() -> Response:
    """Ten pieces of a response in a second, as for server-sent events."""

    def pieces() -> Iterator[str]:
        for number in range(10):
            time.sleep(0.1)
            yield f"data: {number}\n\n"

    return Response(pieces(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


@app.get("/wait")
def wait() -> Response:
    """A response after 20 ms of waiting, as for a database."""
    time.sleep(0.02)
    return Response("Waited\n", mimetype="text/plain")


@app.get("/compute")
def compute() -> Response:
    """Some milliseconds of Python, which holds the interpreter."""
    return Response(f"{sum(number * number for number in range(100_000))}\n", mimetype="text/plain")


@app.route("/slow", methods=["GET", "POST"])
def slow() -> Response:
    """Waits as long as it is asked to; begins a POST with its number and the time in a file."""
    if request.method == "POST":
        noted = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(noted, f"{request.args['number']} {time.monotonic()}\n".encode())
        os.close(noted)
    time.sleep(float(request.args["seconds"]))
    return Response("Waited\n", mimetype="text/plain")


@app.post("/upload")
def upload() -> Response:
    """A body, read to its end."""
    return Response(f"{len(request.get_data(cache=False))} bytes\n", mimetype="text/plain")


@app.get("/cacheable")
def cacheable() -> Response:
    """The same page, with leave to keep it for a minute."""
    response = Response(render_template("orders.html", orders=_ORDERS[:15]), mimetype="text/html")
    response.cache_control.public = True
    response.cache_control.max_age = 60
    return response
