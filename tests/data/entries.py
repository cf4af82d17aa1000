"""An app that keeps its data where Flask says, and a cache below the home directory."""

import os
import sqlite3
from pathlib import Path

from flask import Flask, request

app = Flask(__name__)
DATABASE = Path(app.instance_path) / "shop.db"
with sqlite3.connect(DATABASE, timeout=60) as connection:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY)")


@app.route("/entries", methods=["GET", "POST"])
def entries():
    with sqlite3.connect(DATABASE, timeout=60) as connection:
        if request.method == "POST":
            connection.execute("INSERT INTO entry DEFAULT VALUES")
        return str(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


@app.get("/places")
def places():
    cache = Path.home() / ".cache" / "entries"
    cache.parent.mkdir(exist_ok=True)
    cache.touch()
    return {
        "DATA_DIR": os.environ["DATA_DIR"],
        "instance": app.instance_path,
        "installed": Flask("flask").instance_path,
        "cache": str(cache.parent.parent),
    }
