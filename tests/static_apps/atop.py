"""An app whose static folder is at the top of its mount, where views are as well."""

from flask import Flask, abort, request

app = Flask(__name__, static_folder="atop_files", static_url_path="")


@app.get("/")
def index() -> str:
    """A page."""
    return "up"


@app.get("/private.html")
def private() -> None:
    """Have a static file of the same name."""
    abort(401)


@app.route("/report", methods=["GET", "POST"])
def report() -> str:
    """Have a static file of the same name."""
    return "the view\n"


@app.post("/form.html")
def form() -> str:
    """Have a static file for GET."""
    return request.form["name"]


@app.get("/<path:name>/.history")
@app.get("/.profile")
@app.get("/.well-known/<name>")
def dotted(name: str = "") -> str:
    """Have a name that begins with a dot."""
    return f"the view {name}"
