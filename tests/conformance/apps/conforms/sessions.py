"""Sessions, cookies, and what an app believes of a request."""

import json

from flask import (
    Blueprint,
    Response,
    flash,
    get_flashed_messages,
    redirect,
    request,
    session,
    url_for,
)

bp = Blueprint("sessions", __name__, url_prefix="/sessions")


@bp.get("/set")
def put() -> str:
    session["name"] = "Ada"
    return "set"


@bp.get("/get")
def get() -> str:
    return str(session.get("name"))


@bp.get("/flash")
def flashed() -> str:
    flash("one")
    return str(get_flashed_messages())


@bp.get("/cookies")
def cookies() -> str:
    return json.dumps(request.cookies.to_dict(flat=False))


COOKIES = {
    "plain": {"key": "a", "value": "1"},
    "all": {
        "key": "a",
        "value": "1",
        "max_age": 60,
        "path": "/p",
        "domain": "example.com",
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
    },
    "spaces": {"key": "a", "value": 'a b,c;d"ü'},
    "long": {"key": "a", "value": "x" * 3500},
    "partitioned": {"key": "a", "value": "1", "secure": True, "partitioned": True},
}


@bp.get("/cookie/<name>")
def cookie(name: str) -> Response:
    response = Response("set")
    response.set_cookie(**COOKIES[name])
    return response


@bp.get("/delete")
def delete() -> Response:
    response = Response("deleted")
    response.delete_cookie("a", path="/x")
    return response


@bp.get("/seen")
def seen() -> str:
    environ = request.environ
    return json.dumps(
        {
            "scheme": request.scheme,
            "secure": request.is_secure,
            "host": request.host,
            "root": request.url_root,
            "external": url_for(".get", _external=True),
            "spoofed": request.remote_addr in {"6.6.6.6", "unknown"},
            "user": environ.get("REMOTE_USER"),
            "script": environ["SCRIPT_NAME"],
            "path": environ["PATH_INFO"],
            "protocol": environ["SERVER_PROTOCOL"],
            "multithread": environ["wsgi.multithread"],
            "once": environ["wsgi.run_once"],
        }
    )


@bp.post("/login")
def login():
    session["user"] = request.form["user"]
    return redirect(url_for(".who"), 303)


@bp.get("/who")
def who() -> str:
    return session.get("user", "a visitor")
