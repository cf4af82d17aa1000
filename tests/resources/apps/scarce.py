"""An app that uses up what there is."""

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path

from flask import Flask, request

app = Flask(__name__)
held: list[int] = []


@app.get("/")
def index():
    return str(os.getpid())


@app.get("/exit")
def end_the_worker():
    os._exit(1)


@app.get("/gate")
def wait_for_the_gate():
    gate = Path(os.environ["GATE"])
    gate.with_name("waiting").touch()
    while not gate.exists():
        time.sleep(0.05)
    return "open"


@app.post("/upload")
def upload():
    return str(len(request.get_data()))


@app.get("/public")
def public():
    return "public", {"Cache-Control": "public, max-age=600"}


@app.post("/data")
def write_data():
    path = Path(os.environ["DATA_DIR"], "written")
    try:
        path.write_bytes(bytes(100_000))
    finally:
        path.unlink(missing_ok=True)
    return "written"


@app.post("/memory")
def take_memory():
    # A child process, which the kernel kills before all others. tail holds a line in memory.
    script = "echo 1000 >/proc/self/oom_score_adj; head -c 1000000000 /dev/zero | tail >/dev/null"
    subprocess.run(["sh", "-c", script], check=False)
    return "killed"


@app.post("/files")
def take_all_files():
    threading.Thread(target=leak_files, daemon=True).start()
    return str(os.getpid())


def leak_files():
    while True:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(1))
        time.sleep(0.001)


@app.get("/tasks")
def tasks():
    """How many processes and threads uWSGI has."""
    names = Path("/proc").glob("[0-9]*/task/[0-9]*/comm")
    return str(sum(name.read_text() == "uwsgi\n" for name in names))
