"""Headers of requests and of responses."""

import json

from flask import Blueprint, Response, request, url_for

bp = Blueprint("headers", __name__, url_prefix="/headers")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"]

# Headers of a response, by name.
SENT = {
    "none": [],
    "two-cookies": [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/; HttpOnly")],
    "duplicates": [("X-A", "1"), ("X-A", "2"), ("X-A", "1")],
    "latin-1": [("X-A", "caf\xe9")],
    "empty": [("X-A", "")],
    "long": [("X-A", "a" * 30_000)],
    "many": [(f"X-{number}", str(number)) for number in range(60)],
    "date": [("Date", "Mon, 01 Jan 2001 00:00:00 GMT")],
    "content-type": [("Content-Type", "application/vnd.api+json; profile=x")],
    "no-type": [],
    "caching": [
        ("Cache-Control", "no-store"),
        ("Vary", "Cookie"),
        ("Vary", "Accept"),
        ("Expires", "0"),
        ("ETag", 'W/"weak"'),
        ("Age", "5"),
    ],
    "csp": [("Content-Security-Policy", "default-src 'self'"), ("X-Frame-Options", "DENY")],
    "cors": [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "X-A")],
    "encoding": [("Content-Encoding", "br")],
    "language": [("Content-Language", "de"), ("Link", "</a>; rel=preload, </b>; rel=next")],
    "authenticate": [("WWW-Authenticate", 'Basic realm="a, b"'), ("WWW-Authenticate", "Bearer")],
    "underscore": [("X_A", "1")],
    "hop-by-hop": [("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "Basic")],
    "upgrade": [("Upgrade", "h2c")],
    "accel": [("X-Accel-Redirect", "/elsewhere"), ("X-Accel-Expires", "5")],
    "sendfile": [("X-Sendfile", "/etc/hostname")],
    "location-relative": [("Location", "../there?a=b#c")],
    "location-absolute": [("Location", "https://example.com/ü")],
    "retry": [("Retry-After", "120")],
    "trailer": [("Trailer", "X-B")],
    "server-timing": [("Server-Timing", 'db;dur=53;desc="a b"')],
    "x-request-id": [("X-Correlation-ID", "7")],
}


@bp.get("/sent/<name>")
def sent(name: str) -> Response:
    response = Response("text", content_type="text/plain")
    for key, value in SENT[name]:
        if key == "Content-Type":
            del response.headers[key]
        response.headers.add(key, value)
    if name == "no-type":
        del response.headers["Content-Type"]
    return response


@bp.get("/length")
def length() -> Response:
    """More bytes than announced."""
    return Response(iter([b"ten bytes."]), headers={"Content-Length": "3"})


@bp.route("/seen", methods=METHODS)
@bp.route("/seen/<path:rest>", methods=METHODS)
def seen(rest: str = "") -> str:
    """What arrives of the headers that the query names, and of the URL."""
    names = request.args.getlist("h")
    return json.dumps({name: request.headers.get(name) for name in names})


@bp.route("/url", methods=METHODS)
@bp.route("/url/<path:rest>", methods=METHODS)
def url(rest: str = "") -> str:
    parts = {
        "method": request.method,
        "path": request.path,
        "root": request.script_root,
        "rest": rest,
        "query": request.query_string.decode("latin-1"),
        "args": request.args.to_dict(flat=False),
        "url": request.url,
        "host": request.host,
        "external": url_for(".url", rest="a b/ü", _external=True, q="ü&"),
        "internal": url_for(".url", rest=rest),
    }
    return json.dumps(parts)


@bp.get("/environ/<name>")
def environ(name: str) -> str:
    return repr(request.environ.get(name))


@bp.get("/raw")
def raw() -> str:
    return repr(
        request.environ["RAW_URI"]
        if "RAW_URI" in request.environ
        else request.environ["REQUEST_URI"]
    )


@bp.get("/auth")
def auth() -> str:
    found = request.authorization
    return f"{found.type} {found.username} {found.password} {found.token}" if found else "none"


@bp.get("/accept")
def accept() -> str:
    return f"{request.accept_mimetypes.best} {request.accept_languages.best}"
