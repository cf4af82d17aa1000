"""An app that can be made to wait, hang, leave, leak and stream."""

import os
import sys
import time
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
