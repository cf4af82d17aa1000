"""Bodies of every kind: a WSGI app for each name in CASES, and files that Flask sends."""

import array
import gzip
import io
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_file, stream_with_context

app = Flask(__name__, static_folder=None)
happened: Counter[str] = Counter()
children: list[subprocess.Popen] = []
folder = Path(tempfile.mkdtemp())
(folder / "large").write_bytes(bytes(range(256)) * 65_536)
with gzip.open(folder / "text.gz", "wb", compresslevel=1) as _file:
    _file.write(b"0123456789abcdef" * 10_000)


class Body:
    """An iterator that calls those chunks that are functions, and counts how often it is closed."""

    def __init__(self, name: str, *chunks: object, close: Exception | None = None) -> None:
        self._name, self._chunks, self._close = name, iter(chunks), close

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        chunk = next(self._chunks)
        return chunk() if callable(chunk) else chunk

    def close(self) -> None:
        happened[f"{self._name} closed"] += 1
        if self._close:
            raise self._close


class FailsToIterate:
    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError("in __iter__")


def kill() -> bytes:
    """The process ends in the middle of a body."""
    os._exit(1)


def slow() -> bytes:
    time.sleep(0.3)
    return b"slow"


def fail() -> None:
    raise RuntimeError("broke off")


OK = "200 OK"
TEXT = [("Content-Type", "text/plain")]
CACHED = [*TEXT, ("Cache-Control", "public, max-age=600")]


def body(*chunks: object, status: str = OK, headers: list = CACHED, **more: Any) -> Callable:
    """A WSGI app with that response."""

    def respond(environ: dict[str, Any], start_response: Callable) -> Iterable:
        start_response(status, list(headers))
        return Body(environ["PATH_INFO"].strip("/"), *chunks, **more)

    return respond


def raises(environ: dict[str, Any], start_response: Callable) -> Iterable:
    fail()


def raises_after_start(environ: dict[str, Any], start_response: Callable) -> Iterable:
    start_response(OK, list(CACHED))
    fail()


def generates(environ: dict[str, Any], start_response: Callable) -> Iterable:
    """A generator: start_response is called with the first chunk."""
    start_response(OK, list(TEXT))
    yield b"one"
    yield b"two"


def returns(result: object, headers: list = CACHED) -> Callable:
    def respond(environ: dict[str, Any], start_response: Callable) -> Any:
        start_response(OK, list(headers))
        return result

    return respond


def without_start(result: list) -> Callable:
    return lambda environ, start_response: result


def starts_twice(environ: dict[str, Any], start_response: Callable) -> Iterable:
    start_response(OK, list(TEXT))
    start_response("404 Not Found", list(TEXT))
    return [b"twice"]


def replaces(environ: dict[str, Any], start_response: Callable) -> Iterable:
    start_response(OK, [*TEXT, ("X-First", "1")])
    try:
        fail()
    except RuntimeError as error:
        start_response("503 Service Unavailable", list(TEXT), (type(error), error, None))
    return [b"replaced"]


def replaces_too_late(environ: dict[str, Any], start_response: Callable) -> Iterable:
    start_response(OK, list(CACHED))
    yield b"begun"
    try:
        fail()
    except RuntimeError as error:
        start_response("503 Service Unavailable", list(TEXT), (type(error), error, None))
    yield b"replaced"


def writes(*chunks: object, then: Iterable = ()) -> Callable:
    """An app that uses the write() callable."""

    def respond(environ: dict[str, Any], start_response: Callable) -> Iterable:
        write = start_response(OK, list(CACHED))
        for chunk in chunks:
            write(chunk() if callable(chunk) else chunk)
        return then

    return respond


CASES: dict[str, Callable] = {
    # whole
    "list": returns([b"one", b"two"]),
    "generator": generates,
    "iterator": body(b"one", b"", b"two"),
    "empty": returns([]),
    "empty-chunks": body(b"", b""),
    "bytearray": body(bytearray(b"bytes")),
    "memoryview": body(memoryview(b"bytes")),
    "array": body(array.array("B", b"bytes")),
    "write": writes(b"one", b"two"),
    "write-and-body": writes(b"one", then=[b"two"]),
    "large": body(*[b"x" * 100_000] * 50),
    "length": body(b"12345", headers=[*TEXT, ("Content-Length", "5")]),
    "no-content": body(b"body", status="204 No Content", headers=[]),
    "not-modified": body(b"body", status="304 Not Modified", headers=[]),
    "replaced": replaces,
    "close-fails": body(b"whole", close=RuntimeError("in close")),
    # 500
    "raises": raises,
    "raises-after-start": raises_after_start,
    "fails-first": body(fail),
    "fails-first-with-length": body(fail, headers=[*CACHED, ("Content-Length", "5")]),
    "exits-first": body(sys.exit),
    "iter-fails": returns(FailsToIterate()),
    "close-fails-first": body(close=RuntimeError("in close")),
    "none": returns(None),
    "number": returns(1),
    "twice": starts_twice,
    "no-start": without_start([b"Status: 200 OK\r\nX-Smuggled: 1\r\n\r\nbody"]),
    "no-start-empty": without_start([]),
    "text": returns("text"),
    "text-chunk": body("text"),
    "number-chunk": body(1),
    "none-chunk": body(None),
    "list-chunk": body([b"bytes"]),
    "write-text": writes("text"),
    "no-status": body(b"x", status=""),
    "bad-header": body(b"x", headers=[("X-Number", 1)]),
    "large-header": body(b"x", headers=[("X-Large", "x" * 65_536)]),
    "large-headers": body(b"x", headers=[("X-Large", "x" * 60_000)] * 2),
    # broken off
    "fails": body(b"begun", fail),
    "fails-later": body(b"begun", slow, fail),
    "fails-large": body(*[b"x" * 100_000] * 20, fail),
    "fails-with-length": body(b"begun", fail, headers=[*CACHED, ("Content-Length", "100")]),
    "too-short": body(b"begun", headers=[*CACHED, ("Content-Length", "100")]),
    "exits": body(b"begun", sys.exit),
    "text-later": body(b"begun", "text"),
    "replaced-too-late": replaces_too_late,
    "write-fails": writes(b"begun", fail),
    # the worker ends in the middle
    "killed": body(b"begun", slow, kill),
}

FILES: dict[str, Callable] = {  # Flask closes them
    "gzip": lambda: gzip.open(folder / "text.gz"),  # noqa: SIM115
    "pipe": lambda: _output("seq", "1", "5"),
    "bytesio": lambda: io.BytesIO(b"in memory"),
    "tempfile": lambda: _rewound(tempfile.TemporaryFile()),  # noqa: SIM115
    "spooled": lambda: _rewound(tempfile.SpooledTemporaryFile()),  # noqa: SIM115
    "position": lambda: _at(6, io.BytesIO(b"before after")),
    "file-position": lambda: _at(10, (folder / "large").open("rb")),
    "decrypting": lambda: Decrypting(io.BytesIO(bytes(b ^ 1 for b in b"secret"))),
}


def _output(*command: str) -> Any:
    children.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    return children[-1].stdout


def _rewound(file: Any) -> Any:
    file.write(b"temporary")
    file.seek(0)
    return file


def _at(position: int, file: Any) -> Any:
    file.seek(position)
    return file


class Decrypting(io.RawIOBase):
    """A reader that gives something else than what its descriptor has."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return os.open("/dev/null", os.O_RDONLY)

    def read(self, size: int = -1) -> bytes:
        return bytes(b ^ 1 for b in self._file.read(size))


@app.get("/")
def index() -> str:
    return "up"


@app.get("/happened")
def what_happened() -> dict[str, int]:
    return happened


@app.get("/file/<name>")
def file(name: str) -> Response:
    return send_file(FILES[name](), mimetype="text/plain")


@app.get("/stored")
def stored() -> Response:
    return send_file(folder / "large")


@app.teardown_request
def torn_down(error: BaseException | None) -> None:
    happened[f"{request.path} torn down"] += 1


@app.get("/streamed")
def streamed() -> Response:
    @stream_with_context
    def rows() -> Iterator[str]:
        try:
            yield "begun"
            if "fail" in request.args:
                fail()
        finally:
            happened["rows ended"] += 1

    return Response(rows(), mimetype="text/plain")


@app.get("/events")
def events() -> Response:
    """A stream that says hello and then waits for good."""

    def wait() -> Iterator[str]:
        yield "begun\n"
        while True:
            yield queue.Queue().get()

    headers = {"X-Accel-Buffering": "no"}
    return Response(wait(), mimetype="text/event-stream", headers=headers)


def application(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """Call what CASES has for this path, or Flask."""
    case = CASES.get(environ["PATH_INFO"].strip("/"), app.wsgi_app)
    return case(environ, start_response)


app_by_flask = app
