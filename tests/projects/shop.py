"""An app that says what it runs with."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flask import Flask, jsonify, url_for


def versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def create_app() -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def about():
        place = {"directory": str(Path.cwd()), "file": __file__, "instance": app.instance_path}
        return jsonify(
            url=url_for("about"), **place, **versions("flask", "werkzeug", "shop", "humanize")
        )

    return app
