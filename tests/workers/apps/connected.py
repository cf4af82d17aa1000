"""An app that opens a connection while it is imported, as many do with their database."""

import os
import socket
import threading

from flask import Flask

app = Flask(__name__)
connection = socket.create_connection(("127.0.0.1", int(os.environ["PEER"])), timeout=2)
lines = connection.makefile("rw")
lock = threading.Lock()


@app.get("/")
def ready() -> str:
    return "ready"


@app.get("/<word>")
def echo(word: str) -> str:
    with lock:
        lines.write(f"{word}\n")
        lines.flush()
        return lines.readline().strip()
