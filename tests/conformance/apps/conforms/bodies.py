"""Bodies of responses: all that Flask and Werkzeug let through."""

import array
import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from flask import (
    Blueprint,
    Response,
    abort,
    after_this_request,
    g,
    jsonify,
    make_response,
    redirect,
    request,
    send_file,
    send_from_directory,
    stream_with_context,
    url_for,
)
from werkzeug.wsgi import FileWrapper, wrap_file

from .shared import NOTES, note, notes, say

bp = Blueprint("bodies", __name__, url_prefix="/bodies")
TEXT = b"0123456789abcdef" * 1000
(NOTES / "whole.txt").write_bytes(TEXT)
with gzip.open(NOTES / "packed.gz", "wb") as packed:
    packed.write(TEXT * 10)
with bz2.open(NOTES / "packed.bz2", "wb") as packed:
    packed.write(TEXT)
with lzma.open(NOTES / "packed.xz", "wb") as packed:
    packed.write(TEXT)
with zipfile.ZipFile(NOTES / "packed.zip", "w") as archive:
    archive.writestr("member.txt", TEXT)
with tarfile.open(NOTES / "packed.tar", "w") as archive:
    archive.add(NOTES / "whole.txt", "member.txt")
os.utime(NOTES / "whole.txt", (1_700_000_000, 1_700_000_000))

# Return values of a view, by name.
VALUES = {
    "str": "text, and ünïcödé",
    "bytes": b"\x00\x01\xff",
    "bytearray": bytearray(b"a bytearray"),
    "empty": "",
    "dict": {"b": 1, "a": ["ü", None]},
    "list": [1, "two", None],
    "with-status": ("made", 201),
    "with-headers": ("text", {"X-A": "1"}),
    "with-both": ("text", 202, [("X-A", "1"), ("X-A", "2")]),
    "reason": ("text", "299 Quite fine"),
    "no-content": ("", 204),
    "reset-content": ("", 205),
    "not-modified": ("", 304, {"ETag": '"x"'}),
    "teapot": ("short and stout", 418),
    "nothing": None,
    "number": 42,
}


@bp.get("/value/<name>")
def value(name: str):
    return VALUES[name]


def _lines() -> Iterator[str]:
    yield from ("one\n", "zwei\n", "trois ü\n")


def _fails_first() -> Iterator[str]:
    raise RuntimeError("fails before the first chunk")
    yield "never"


def _fails_later() -> Iterator[str]:
    yield "one\n"
    raise RuntimeError("fails after the first chunk")


def _fails_late() -> Iterator[bytes]:
    for _ in range(40):
        yield b"x" * 65_536
    raise RuntimeError("fails after many chunks")


def _empty_then_fails() -> Iterator[str]:
    yield ""
    raise RuntimeError("fails after an empty chunk")


def _with_empty_chunks() -> Iterator[str]:
    yield from ("", "one", "", "", "two", "")


ITERABLES = {
    "generator": lambda: _lines(),
    "bytes-generator": lambda: (line.encode() for line in _lines()),
    "list-of-bytes": lambda: [b"one", b"two"],
    "tuple-of-str": lambda: ("one", "two"),
    "map": lambda: map(str, range(5)),
    "iter-of-list": lambda: iter([b"one", b"two"]),
    "set-of-one": lambda: {b"one"},
    "empty-chunks": lambda: _with_empty_chunks(),
    "no-chunks": lambda: iter(()),
    "many-small": lambda: (b"%d\n" % number for number in range(5000)),
    "five-megabytes": lambda: (bytes([65 + number]) * 1_048_576 for number in range(5)),
    "fails-first": lambda: _fails_first(),
    "fails-later": lambda: _fails_later(),
    "fails-late": lambda: _fails_late(),
    "empty-then-fails": lambda: _empty_then_fails(),
    "memoryviews": lambda: (memoryview(b"abc"), memoryview(b"def")),
    "bytearrays": lambda: (bytearray(b"abc"), bytearray(b"def")),
    "arrays": lambda: (array.array("B", b"abc"),),
}


@bp.get("/iterable/<name>")
def iterable(name: str) -> Response:
    response = Response(ITERABLES[name](), mimetype="text/plain")
    if "length" in request.args:
        response.headers["Content-Length"] = request.args["length"]
    return response


@bp.get("/direct/<name>")
def direct(name: str) -> Response:
    """Past Werkzeug's own encoding."""
    return Response(ITERABLES[name](), mimetype="text/plain", direct_passthrough=True)


@bp.get("/context")
def context() -> Response:
    def body() -> Iterator[str]:
        yield request.path
        yield request.args["a"]

    return Response(stream_with_context(body()))


@bp.get("/large")
def large() -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in range(1_250_000))


class Closing:
    """Chunks that say when they are closed."""

    def __init__(self, token: str, fails: bool = False) -> None:
        self.token, self.fails, self.chunks = token, fails, iter((b"one", b"two"))

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        if self.fails:
            raise RuntimeError("fails while it is iterated")
        return next(self.chunks)

    def close(self) -> None:
        note(f"closed-{self.token}")
        say("CLOSED", self.token)


@bp.get("/closing/<token>")
def closing(token: str) -> Response:
    return Response(Closing(token, "fails" in request.args))


@bp.get("/on-close/<token>")
def on_close(token: str) -> Response:
    response = Response(_lines())
    response.call_on_close(lambda: note(f"closed-{token}"))
    return response


@bp.get("/finally/<token>")
def finally_(token: str) -> Response:
    def body() -> Iterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            note(f"closed-{token}")

    return Response(body())


@bp.get("/after/<token>")
def after(token: str) -> str:
    @after_this_request
    def add(response: Response) -> Response:
        response.headers["X-After"] = "yes"
        return response

    g.token = token
    return "text"


@bp.get("/teardown-stream/<token>")
def teardown_stream(token: str) -> Response:
    g.token = token
    return Response(stream_with_context(_lines()))


@bp.get("/teardown-error/<token>")
def teardown_error(token: str) -> str:
    g.token = token
    raise LookupError("nothing here catches this")


@bp.teardown_request
def teardown(error: BaseException | None) -> None:
    if token := g.pop("token", None):
        note(f"closed-{token}")


@bp.get("/closed/<token>")
def closed(token: str) -> str:
    """How often it was closed, which may be after the client has everything."""
    for _ in range(200):
        if notes(f"closed-{token}") != "0":
            break
        time.sleep(0.05)
    return notes(f"closed-{token}")


class Reversing:
    """A file-like object that changes what it reads, as one that decrypts does."""

    def __init__(self) -> None:
        self.file = (NOTES / "whole.txt").open("rb")

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size).swapcase()

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


def _middle() -> io.BufferedIOBase:
    file = (NOTES / "whole.txt").open("rb")
    file.seek(10_000)
    return file


def _temporary() -> io.BufferedIOBase:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"written, then read again")
    file.seek(0)
    return file


def _spooled() -> tempfile.SpooledTemporaryFile:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115
    file.write(TEXT)
    file.seek(0)
    return file


def _pipe() -> io.BufferedIOBase:
    return subprocess.Popen(["seq", "1", "5"], stdout=subprocess.PIPE).stdout


def _unbuffered() -> io.RawIOBase:
    return (NOTES / "whole.txt").open("rb", buffering=0)


FILES = {
    "path": lambda: NOTES / "whole.txt",
    "bytesio": lambda: io.BytesIO(TEXT),
    "bytesio-middle": lambda: io.BytesIO(TEXT[100:]),
    "gzip": lambda: gzip.open(NOTES / "packed.gz"),  # noqa: SIM115
    "bz2": lambda: bz2.open(NOTES / "packed.bz2"),  # noqa: SIM115
    "xz": lambda: lzma.open(NOTES / "packed.xz"),  # noqa: SIM115
    "zip": lambda: zipfile.ZipFile(NOTES / "packed.zip").open("member.txt"),  # noqa: SIM115
    "tar": lambda: tarfile.open(NOTES / "packed.tar").extractfile("member.txt"),  # noqa: SIM115
    "pipe": _pipe,
    "reversing": Reversing,
    "middle": _middle,
    "temporary": _temporary,
    "spooled": _spooled,
    "unbuffered": _unbuffered,
    "buffered-reader": lambda: io.BufferedReader(_unbuffered()),
    "mmap": lambda: io.BytesIO(memoryview(TEXT)),
}


@bp.get("/file/<name>")
def file(name: str) -> Response:
    return send_file(FILES[name](), mimetype="text/plain")


@bp.get("/conditional")
def conditional() -> Response:
    return send_file(NOTES / "whole.txt", etag="fixed", max_age=60)


@bp.get("/attachment")
def attachment() -> Response:
    return send_file(
        io.BytesIO(b"a"),
        as_attachment=True,
        download_name="Übersicht 2026.csv",
        mimetype="text/csv",
    )


@bp.get("/directory/<path:name>")
def directory(name: str) -> Response:
    return send_from_directory(NOTES, name)


@bp.get("/range-of-bytesio")
def range_of_bytesio() -> Response:
    response = Response(TEXT)
    response.make_conditional(request.environ, accept_ranges=True, complete_length=len(TEXT))
    return response


@bp.get("/wrapped")
def wrapped() -> Response:
    return Response(
        wrap_file(request.environ, (NOTES / "whole.txt").open("rb")), direct_passthrough=True
    )


@bp.get("/werkzeugs-wrapper")
def werkzeugs_wrapper() -> Response:
    return Response(FileWrapper(Reversing(), 100), direct_passthrough=True)


@bp.get("/removed")
def removed() -> Response:
    """A file that is deleted before it is sent."""
    file = Path(tempfile.mkstemp(dir=NOTES)[1])
    file.write_text("still whole")
    response = send_file(
        file, mimetype="text/plain", etag=False, conditional=False, download_name="removed.txt"
    )
    response.headers.pop("Last-Modified", None)
    file.unlink()
    return response


@bp.get("/redirect")
def redirected():
    return redirect(url_for(".value", name="str"))


@bp.get("/slash/")
def slash() -> str:
    return "with a slash"


@bp.get("/abort/<int:status>")
def aborted(status: int):
    abort(status)


@bp.get("/abort-with-response")
def abort_with_response():
    abort(make_response(jsonify(error="ü"), 422))


@bp.get("/raises")
def raises():
    raise LookupError("nothing here catches this")


@bp.get("/exits")
def exits():
    raise SystemExit("a view that exits")


@bp.get("/handled")
def handled():
    raise KeyError("handled")


@bp.errorhandler(KeyError)
def on_key_error(error: KeyError):
    return "handled", 409
