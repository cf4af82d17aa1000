"""An app with static folders of other names, one of them for members only."""

from flask import Blueprint, Flask, abort, request

app = Flask(__name__, static_folder="hidden_files", static_url_path="/assets")
parts = Blueprint("parts", __name__, static_folder="hidden_files", url_prefix="/parts/of/it")
members = Blueprint("members", __name__, static_folder="hidden_files", url_prefix="/members")


@app.get("/")
@app.get("/.profile")
@app.get("/files/<path:name>")
def view(name: str = "") -> str:
    """A page with any name."""
    return f"the view {name}"


@members.before_request
def only_members() -> None:
    """Let those in who have a cookie."""
    if request.cookies.get("member") != "yes":
        abort(401)


app.register_blueprint(parts)
app.register_blueprint(members)
