"""An app of which there are many releases. `POST /count/<id>` writes down that it was run.

The same below `/ledger`, in SQLite in WAL mode.
"""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from flask import Flask

VERSION = "0"

app = Flask(__name__)
of_this_thread = threading.local()


def connect() -> sqlite3.Connection:
    return sqlite3.connect(Path(os.environ["DATA_DIR"]) / "ledger.db", timeout=60)


with closing(connect()) as first:
    first.execute("PRAGMA journal_mode = WAL")
    first.execute("CREATE TABLE IF NOT EXISTS line (id TEXT)")


@app.get("/")
def version() -> str:
    return VERSION


@app.post("/count/<id>")
def count(id: str) -> str:
    # One short write at the end of a file: whole, whichever process does it.
    with Path(os.environ["COUNTED"]).open("ab", buffering=0) as file:
        file.write(f"{id}\n".encode())
    return VERSION


def ledger() -> sqlite3.Connection:
    if not hasattr(of_this_thread, "connection"):
        of_this_thread.connection = connect()
    return of_this_thread.connection


@app.get("/ledger/")
def read() -> str:
    ledger().execute("SELECT count(*) FROM line").fetchone()
    return VERSION


@app.post("/ledger/count/<id>")
def write(id: str) -> str:
    with ledger() as connection:
        connection.execute("INSERT INTO line VALUES (?)", [id])
    return VERSION


@app.get("/ledger/lines")
def lines() -> str:
    return " ".join(id for (id,) in ledger().execute("SELECT id FROM line"))
