"""The pages: one view for each thing that likes to break below a mount."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any, NoReturn, TypeVar

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from .forms import NameForm

CHUNK = 64 * 1024  # bytes read at a time from an upload
INSPECTED = 16 * 1024 * 1024  # bytes of body that the inspector holds in memory
FRESH = 10  # max-age of the cached page, in seconds
STALE = 60  # its stale-while-revalidate, in seconds
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Number = TypeVar("Number", int, float)

bp = Blueprint("pages", __name__)


@bp.get("/")
def welcome() -> str:
    """Show how this request arrived, and what to do next."""
    return render_template(
        "welcome.html",
        worker=os.getpid(),
        thread=threading.current_thread().name,
        request_id=request.headers.get("X-Request-ID"),
    )


@bp.route("/form", methods=["GET", "POST"])
def form() -> ResponseReturnValue:
    """Remember a name in the session; a bad form or CSRF token gets 400."""
    form = NameForm()
    if form.validate_on_submit():
        session["name"] = form.name.data
        session["greetings"] = session.get("greetings", 0) + 1
        flash(f"Hello, {form.name.data}!")
        return redirect(url_for(".form"), 303)  # so that a reload does not post again
    return render_template("form.html", form=form), 400 if form.is_submitted() else 200


@bp.get("/upload")
def upload() -> str:
    """Offer a file to send."""
    return render_template("upload.html")


@bp.post("/upload")
def receive() -> ResponseReturnValue:
    """Return size and SHA-256 of a file, or of a raw body, as JSON.

    A ``multipart/form-data`` body has it in the field ``file``; with any other
    content type the body is the file. There is no CSRF token, which a raw body
    cannot contain: the view stores nothing and reads no session, so a
    cross-site request has no effect. An upload with effects needs a token.
    """
    if request.mimetype != "multipart/form-data":
        return digest(request.stream)
    if not (file := request.files.get("file")):
        bad_request("The upload has no file in its field 'file'.")
    return digest(file.stream)


@bp.get("/stream")
def stream() -> str:
    """Show server-sent events as they come in."""
    return render_template("stream.html")


@bp.get("/events")
def events() -> Response:
    """Send ``?count=`` events (1 to 1000), one each ``?interval=`` seconds (0 to 60)."""
    count = argument("count", int, 10, least=1, most=1000)
    interval = argument("interval", float, 1.0, least=0, most=60)

    def body() -> Iterator[str]:
        for number in range(1, count + 1):
            if number > 1:
                time.sleep(interval)
            event = {"number": number, "count": count, "time": datetime.now(UTC).isoformat()}
            yield f"data: {json.dumps(event)}\n\n"

    # A proxy that buffers would deliver all of them at the end.
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return Response(body(), mimetype="text/event-stream", headers=headers)


@bp.get("/copy")
def copy() -> Response:
    """Show when this page was made, and let nginx cache it."""
    response = make_response(render_template("copy.html", made=datetime.now(UTC), seconds=FRESH))
    response.cache_control.public = True
    response.cache_control.max_age = FRESH
    # Later clients get the stale page at once, while one request revalidates it.
    response.cache_control.stale_while_revalidate = STALE
    return response


@bp.route("/inspect", methods=METHODS)
@bp.route("/inspect/<path:rest>", methods=METHODS)
def inspect(rest: str = "") -> dict[str, Any]:
    """Return Flask's view of this request as JSON.

    A name may come more than once in ``args``, ``form`` and ``files``, so each
    of them holds lists. ``json`` is null for any other content type.
    """
    request.max_content_length = request.max_form_memory_size = INSPECTED
    # The parsers of forms consume the stream; what is read and kept before
    # them is the whole raw body, and they are content with that.
    body = request.get_data()
    files = {
        name: [{"filename": file.filename, **digest(file.stream)} for file in several]
        for name, several in request.files.lists()
    }
    return {
        "method": request.method,
        "path": request.path,
        "full_path": request.full_path,
        "script_root": request.script_root,
        "url": request.url,
        "base_url": request.base_url,
        "url_root": request.url_root,
        "external_url": url_for(".welcome", _external=True),
        "scheme": request.scheme,
        "host": request.host,
        "remote_addr": request.remote_addr,
        "rest": rest,
        "query_string": request.query_string.decode("latin-1"),
        "args": request.args.to_dict(flat=False),
        "form": request.form.to_dict(flat=False),
        "files": files,
        "json": request.get_json(silent=True),
        "headers": list(request.headers),
        "body_length": len(body),
    }


@bp.get("/archive/<path:folder>/<int:year>")
def archive(folder: str, year: int) -> dict[str, Any]:
    """A path converter in the middle of a rule; returns its own URL."""
    return {
        "folder": folder,
        "year": year,
        "url": url_for(".archive", folder=folder, year=year),
    }


@bp.get("/flags/<bool:flag>")
def flags(flag: bool) -> dict[str, Any]:
    """A converter of booleans; returns the URL of the opposite."""
    return {"flag": flag, "opposite": url_for(".flags", flag=not flag)}


@bp.get("/boom")
def boom() -> str:
    """Fail, with something for a debugger to look at."""
    visitor = request.args.get("visitor", "a visitor")
    basket = {"apples": 3, "pears": 2}
    return f"{visitor} pays {price_of_each(basket, guests=0)}"


def price_of_each(basket: dict[str, int], guests: int) -> float:
    """Share a bill among the guests, who are not there."""
    bill = 0.40 * sum(basket.values())
    return bill / guests


@bp.get("/wait")
def wait() -> dict[str, float]:
    """Hold this thread for ``?seconds=`` (0 to 300) and say how long it was."""
    seconds = argument("seconds", float, 1.0, least=0, most=300)
    start = time.monotonic()
    time.sleep(seconds)
    return {"waited": round(time.monotonic() - start, 3)}


@bp.app_errorhandler(HTTPException)
def error(problem: HTTPException) -> BaseResponse:
    """An error page of the app, with the headers of the error.

    Flask calls this for unhandled exceptions too, as a 500, but not with its
    debugger on.
    """
    response = problem.get_response()
    response.data = render_template("error.html", problem=problem)
    response.content_type = "text/html; charset=utf-8"
    return response


def digest(stream: IO[bytes]) -> dict[str, Any]:
    """Read a stream to its end, a chunk at a time, for its size and SHA-256."""
    size, sha256 = 0, hashlib.sha256()
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        sha256.update(chunk)
    return {"size": size, "sha256": sha256.hexdigest()}


def argument(
    name: str, kind: Callable[[str], Number], default: Number, *, least: int, most: int
) -> Number:
    """A number from the query; 400 if it is invalid or out of range."""
    try:
        value = kind(request.args[name]) if name in request.args else default
    except ValueError:
        value = None
    if value is None or not least <= value <= most:  # also rejects NaN
        bad_request(f"{name} must be a number from {least} to {most}.")
    return value


def bad_request(sentence: str) -> NoReturn:
    """Abort with 400 and the reason as JSON."""
    abort(make_response({"error": sentence}, 400))
