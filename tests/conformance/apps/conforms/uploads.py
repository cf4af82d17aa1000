"""Bodies of requests."""

import hashlib
import json

from flask import Blueprint, request

bp = Blueprint("uploads", __name__, url_prefix="/uploads")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@bp.route("/data", methods=METHODS)
def data() -> str:
    body = request.get_data()
    return f"{request.method} {len(body)} {hashlib.sha256(body).hexdigest()}"


@bp.post("/form")
def form() -> str:
    files = {
        name: [
            (file.filename, file.mimetype, hashlib.sha256(file.read()).hexdigest())
            for file in files
        ]
        for name, files in request.files.lists()
    }
    return json.dumps({"form": request.form.to_dict(flat=False), "files": files})


@bp.post("/json")
def as_json():
    return {"got": request.json}


@bp.post("/unread")
def unread() -> tuple[str, int]:
    return "not read", 403


@bp.post("/part")
def part() -> str:
    return request.stream.read(10).decode()


@bp.post("/parts")
def parts() -> str:
    first = request.stream.read(5)
    rest = request.stream.read()
    return f"{first!r} {len(rest)} {request.stream.read()!r}"


@bp.post("/lines")
def lines() -> str:
    return json.dumps([line.decode() for line in request.stream])


@bp.post("/readline")
def readline() -> str:
    stream = request.environ["wsgi.input"]
    return repr([stream.readline(), stream.readline()])


@bp.post("/raw")
def raw() -> str:
    length = int(request.environ["CONTENT_LENGTH"])
    return hashlib.sha256(request.environ["wsgi.input"].read(length)).hexdigest()


@bp.post("/twice")
def twice() -> str:
    return f"{len(request.get_data())} {len(request.get_data())} {request.form.to_dict()}"


@bp.post("/limited")
def limited() -> str:
    request.max_content_length = 100
    return str(len(request.get_data()))


@bp.post("/form-then-data")
def form_then_data() -> str:
    return f"{request.form.get('a')} {request.get_data()!r}"


@bp.post("/length")
def length() -> str:
    environ = request.environ
    return (
        f"{request.content_length} {request.content_type} {request.mimetype_params} "
        f"{environ.get('CONTENT_LENGTH')!r}"
    )


@bp.post("/stream-back")
def stream_back():
    def body():
        while chunk := request.stream.read(1000):
            yield chunk.upper()

    # The body is read while the response is sent.
    return list(body()) and "read" if "list" in request.args else body()
