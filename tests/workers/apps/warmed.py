"""An app that records who called it, and with what; its mount says what the first page does."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, redirect, request

app = Flask(__name__)
calls = Path(os.environ["CALLS"])


def create_app() -> Flask:
    """What a mount with a factory names."""
    return app


@app.before_request
def record() -> None:
    agent = request.headers.get("User-Agent", "")
    with calls.open("a") as file:
        file.write(f"{os.getpid()} {agent} {request.method} {request.url}\n")


@app.get("/")
def first() -> Response | str:
    """The page that is requested before the instance is live."""
    kind = request.script_root.strip("/")
    if kind == "redirect":
        return redirect("/elsewhere")
    if kind == "error":
        raise LookupError("no such page")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "stream":
        return Response(_for_ever())
    if kind == "hang" and request.headers.get("User-Agent") == "warm-up":
        time.sleep(3600)
    return "warm"


@app.get("/other")
def other() -> str:
    return "other"


@app.get("/pid")
def pid() -> str:
    return str(os.getpid())


@app.post("/exit")
def leave() -> str:
    os._exit(1)


def _for_ever() -> Iterator[str]:
    while True:
        yield "again\n"
