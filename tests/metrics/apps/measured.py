"""An app with metrics of its own, and views that are slow, fail, or hold a lock."""

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, abort
from prometheus_client import Counter, Gauge

app = Flask(__name__)
orders = Counter("orders", "Orders.", ["kind"])
alive = Gauge("alive", "Processes of the app.", multiprocess_mode="livesum")


@app.before_request
def count_process() -> None:
    alive.set(1)


@app.get("/")
def index() -> str:
    return str(os.getpid())


@app.post("/orders")
def order() -> tuple[str, int]:
    orders.labels("book").inc()
    return "", 201


@app.get("/wait/<name>")
def wait(name: str) -> str:
    """Until there is a file of this name."""
    while not Path(os.environ["DATA_DIR"], name).exists():
        time.sleep(0.02)
    return ""


@app.get("/fail/<path:name>")
def fail(name: str) -> None:
    abort(500)


@app.get("/stream/<name>")
def stream(name: str) -> Iterator[str]:
    """One chunk, and the next one when there is a file of this name."""
    yield "first"
    wait(name)
    yield "last"


@app.get("/busy")
def busy() -> str:
    """Half a second of computing."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    return ""


@app.get("/hold")
def hold() -> str:
    """Without releasing the interpreter."""
    ctypes.PyDLL(None).usleep(5_000_000)
    return ""


@app.get("/status/<int:status>")
def status(status: int) -> None:
    abort(status)
