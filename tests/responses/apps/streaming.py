"""Streams that wait, each in its own way, and views that go on without their client."""

import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import Flask, Response

app = Flask(__name__, static_folder=None)
SEEN = Path(os.environ["SEEN"])
happened: Counter[str] = Counter()
_pair = socket.socketpair()


def ticks() -> Iterator[bytes]:
    while True:
        time.sleep(0.2)
        yield b""


def polls() -> Iterator[bytes]:
    while True:
        time.sleep(0.2)
        if happened["never"]:
            yield b"event\n"


def swallows() -> Iterator[bytes]:
    while True:
        try:
            yield queue.Queue().get()
        except Exception:
            happened["swallowed"] += 1


WAYS: dict[str, Callable[[], Iterator[bytes]]] = {
    "queue": lambda: iter(queue.Queue().get, None),
    "event": lambda: iter(threading.Event().wait, None),
    "empty": ticks,
    "poll": polls,
    "except": swallows,
    "timeout": lambda: iter(lambda: queue.Queue().get(timeout=99), None),
    # In C, where nothing can be raised: the worker is replaced.
    "simple-queue": lambda: iter(queue.SimpleQueue().get, None),
    "socket": lambda: iter(lambda: _pair[0].recv(1), None),
    "select": lambda: iter(lambda: select.select([_pair[0]], [], []), None),
}


@app.get("/")
def worker() -> str:
    return str(os.getpid())


@app.get("/happened")
def what_happened() -> dict[str, int]:
    return happened


@app.get("/stream/<way>")
def stream(way: str) -> Response:
    def chunks() -> Iterator[bytes]:
        yield b"begun\n"
        try:
            yield from WAYS[way]()
        finally:
            happened[f"{way} ended"] += 1

    headers = {"X-Accel-Buffering": "no"}
    response = Response(chunks(), mimetype="text/event-stream", headers=headers)
    response.call_on_close(lambda: happened.update([f"{way} closed"]))
    return response


@app.post("/work")
def work() -> str:
    """A view that outlives its client, and ends when it is told to."""
    (SEEN / "view").write_text("begun")
    while not (SEEN / "go").exists():
        time.sleep(0.1)
    (SEEN / "view").write_text("done")
    return "done"


@app.get("/poll")
def long_poll() -> str:
    """An event that comes late: the client is still there."""
    with contextlib.suppress(queue.Empty):
        queue.Queue().get(timeout=6)
    return "nothing new"


@app.get("/late")
def late() -> Response:
    """A stream that is silent for longer than a client's absence is tolerated."""

    def chunks() -> Iterator[bytes]:
        yield b"begun\n"
        threading.Event().wait(6)
        yield b"late\n"

    return Response(chunks(), headers={"X-Accel-Buffering": "no"})


@app.get("/afterwards")
def afterwards() -> Response:
    """Work behind the last byte: nginx has hung up, and the client has it all."""

    def chunks() -> Iterator[bytes]:
        yield b"whole"
        threading.Event().wait(6)
        (SEEN / "afterwards").write_text("done")

    return Response(chunks(), headers={"Content-Length": "5"})
