"""Static files at the app's own root."""

from flask import Flask, abort

app = Flask(__name__, static_url_path="")


@app.get("/")
def index() -> str:
    return "up"


@app.get("/private.html")
def private():
    abort(401)


@app.route("/report", methods=["GET", "POST"])
def report() -> str:
    return "the view"


@app.get("/pages/<name>")
def page(name: str) -> str:
    return f"page {name}"


@app.errorhandler(404)
def missing(error):
    return "the app's own 404", 404
