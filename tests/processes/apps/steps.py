"""A process that notes when it begins, stops and ends; the end waits until a file exists."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

DATA = Path(os.environ["DATA_DIR"])
stopped = threading.Event()


def note(what: str) -> None:
    with (DATA / "notes").open("a") as file:
        file.write(f"{os.environ['PS']} {what}\n")


signal.signal(signal.SIGTERM, lambda *_: stopped.set())
note("begins")
print("ready")
stopped.wait()
note("stops")
while not (DATA / sys.argv[1]).exists():
    time.sleep(0.05)
note("ends")
