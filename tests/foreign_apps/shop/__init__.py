"""A shop as people write one: a factory, a blueprint, templates and static files.

It knows nothing of nginx, of uWSGI or of a mount.
"""

from flask import Blueprint, Flask, redirect, render_template, session, url_for

basket = Blueprint(
    "basket", __name__, url_prefix="/basket", static_folder="basket_files", static_url_path="/files"
)


@basket.post("/<fruit>")
def put(fruit: str):
    session["basket"] = [*session.get("basket", []), fruit]
    return redirect(url_for("basket.show"))


@basket.get("/")
def show():
    return {"basket": session.get("basket", [])}


def create_app() -> Flask:
    app = Flask(__name__)
    app.secret_key = "sold by the pound"
    app.register_blueprint(basket)

    @app.get("/")
    def window() -> str:
        return render_template("window.html")

    return app
