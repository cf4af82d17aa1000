"""An app that can be made to wait, hang, leave, leak and stream."""

import asyncio
import atexit
import ctypes
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask import Flask, Response, request

app = Flask(__name__)
leaked = []


@app.get("/")
def worker() -> str:
    return str(os.getpid())


@app.post("/count")
def count() -> str:
    counted = Path(os.environ["COUNT"])
    with counted.open("ab", buffering=0) as file:
        file.write(b".")
    while "gate" in request.args and not counted.with_name("gate").exists():
        time.sleep(0.02)
    return wait()


@app.get("/wait")
def wait() -> str:
    time.sleep(float(request.args.get("seconds", 0)))
    return str(os.getpid())


@app.route("/overloaded", methods=["GET", "POST"])
def overloaded() -> tuple[str, dict[str, str]]:
    """What uWSGI says of a request that has waited for too long."""
    return "", {"X-Accel-Redirect": "@overloaded"}


@app.get("/hold")
def hold() -> str:
    """Keep the interpreter: in C code that does not release it, or in a regular expression."""
    if request.args.get("by") == "regex":
        re.match("(a+)+$", "a" * 60 + "b")
    ctypes.PyDLL(None).sleep(600)
    return ""


@app.get("/close")
def close() -> str:
    os.closerange(3, 256)
    return ""


@app.get("/asyncio")
def run_asyncio() -> str:
    """In the main thread, asyncio.run() ends with Python's own handler for SIGINT."""
    asyncio.run(asyncio.sleep(0))
    return signal.getsignal(signal.SIGINT).__name__


@app.get("/ignore")
def ignore() -> str:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return ""


pool = ThreadPoolExecutor(4)


@app.get("/mail")
def mail() -> str:
    """Go on in the background after the response, in each way that Python waits for."""

    def note(text: str) -> None:
        os.write(2, f"{text} {os.getpid()}\n".encode())

    def send() -> None:
        note("mail begins")
        time.sleep(2)
        note("mail sent")

    for start in (threading.Thread(target=send).start, threading.Timer(0, send).start):
        start()
    pool.submit(send)
    atexit.register(note, "atexit")
    return str(os.getpid())


@app.get("/print")
def print_lines() -> str:
    for _ in range(20):
        print("L" * 60)
        print("M" * 20_000)
    return ""


@app.get("/leave")
def leave() -> None:
    sys.exit(1)


@app.get("/leak")
def leak() -> str:
    leaked.append(b"x" * 10 * 1024**2)
    return str(os.getpid())


@app.get("/stream")
def stream() -> Response:
    seconds = int(request.args["seconds"])

    def chunks():
        for _ in range(seconds):
            yield f"{os.getpid()}\n"
            time.sleep(1)

    return Response(chunks(), mimetype="text/plain")
