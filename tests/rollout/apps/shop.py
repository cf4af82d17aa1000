"""An app of which there are many releases. `POST /count/<id>` writes down that it was run."""

import os
from pathlib import Path

from flask import Flask

VERSION = "0"

app = Flask(__name__)


@app.get("/")
def version() -> str:
    return VERSION


@app.post("/count/<id>")
def count(id: str) -> str:
    # One short write at the end of a file: whole, whichever process does it.
    with Path(os.environ["COUNTED"]).open("ab", buffering=0) as file:
        file.write(f"{id}\n".encode())
    return VERSION
