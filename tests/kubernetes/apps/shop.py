"""An app whose images differ in VERSION. `POST /count/<id>` writes to the log that it was run."""

import os

from flask import Flask

VERSION = os.environ.get("VERSION", "1")
if VERSION == "broken":
    raise RuntimeError("broken")

app = Flask(__name__)


@app.get("/")
def version() -> str:
    return VERSION


@app.post("/count/<id>")
def count(id: str) -> str:
    print(f"counted {id}", flush=True)
    return VERSION
