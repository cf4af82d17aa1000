"""An app that starts a thread while it is imported."""

import threading
import time

from flask import Flask

app = Flask(__name__)
turns = 0


def count() -> None:
    global turns
    while True:
        turns += 1
        time.sleep(0.01)


threading.Thread(target=count, name="counter", daemon=True).start()


@app.get("/")
def index() -> str:
    return str(turns)
