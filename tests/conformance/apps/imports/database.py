"""Makes a database at import, and writes to it in requests."""

import sqlite3
import tempfile
from pathlib import Path

from imports import app_that_says

path = Path(tempfile.mkdtemp()) / "shop.db"
with sqlite3.connect(path) as connection:
    connection.execute("create table t (n integer)")


def look() -> bool:
    with sqlite3.connect(path) as connection:
        connection.execute("insert into t values (1)")
        return connection.execute("select count(*) from t").fetchone()[0] > 0


app = app_that_says(look)
