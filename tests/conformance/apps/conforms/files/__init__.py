"""Static files in the usual places."""

from flask import Blueprint, Flask, url_for

app = Flask(__name__)
shop = Blueprint(
    "shop", __name__, url_prefix="/shop", static_folder="shop_files", static_url_path="/pictures"
)
app.register_blueprint(shop)
nested = Blueprint("nested", __name__, static_folder="shop_files", static_url_path="/deep/er/still")
app.register_blueprint(nested)


@app.get("/")
def index() -> str:
    return f"{url_for('static', filename='a b.txt')} {url_for('shop.static', filename='one.svg')}"


@app.get("/static/made.txt")
def made() -> str:
    return "made by a view"
