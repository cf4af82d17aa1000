"""A plain WSGI app: what the standard lets servers do, and apps."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from .shared import NOTES, note

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def with_write(environ: Environ, start: Callable) -> Iterable[bytes]:
    write = start("200 OK", TEXT)
    write(b"written, ")
    write(b"then ")
    return [b"returned"]


def late(environ: Environ, start: Callable) -> Iterable[bytes]:
    """`start_response` is called when the first chunk is asked for."""
    start("200 OK", TEXT)
    yield b"late"


def again(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    try:
        raise ValueError("something else comes up")
    except ValueError:
        start("400 Bad Request", [*TEXT, ("X-Again", "yes")], sys.exc_info())
    return [b"again"]


def too_short(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", [*TEXT, ("Content-Length", "100")])
    return [b"ten bytes."]


def a_string(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return b"bytes, iterated one by one give numbers"  # type: ignore[return-value]


def never_started(environ: Environ, start: Callable) -> Iterable[bytes]:
    return [b"start_response was not called"]


def raises(environ: Environ, start: Callable) -> Iterable[bytes]:
    raise RuntimeError("fails before start_response")


def raises_after_start(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    raise RuntimeError("fails after start_response")


def wrapper(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    file = (NOTES / "whole.txt").open("rb")
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](file, 1000)
    return iter(lambda: file.read(1000), b"")


class Closed:
    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self):
        yield b"one"

    def close(self) -> None:
        note(self.name)


def closed(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return Closed("closed-" + environ["PATH_INFO"].rpartition("/")[2])


def keys(environ: Environ, start: Callable) -> Iterable[bytes]:
    """Types that PEP 3333 asks for."""
    start("200 OK", TEXT)
    wanted = {
        "REQUEST_METHOD": str,
        "SCRIPT_NAME": str,
        "PATH_INFO": str,
        "QUERY_STRING": str,
        "SERVER_NAME": str,
        "SERVER_PORT": str,
        "SERVER_PROTOCOL": str,
        "wsgi.version": tuple,
        "wsgi.url_scheme": str,
        "wsgi.multithread": bool,
        "wsgi.multiprocess": bool,
        "wsgi.run_once": bool,
    }
    wrong = [name for name, kind in wanted.items() if not isinstance(environ.get(name), kind)]
    wrong += [name for name in ("wsgi.input", "wsgi.errors") if name not in environ]
    names = ("PATH_INFO", "REMOTE_ADDR", "REQUEST_URI", "HTTP_HOST")
    wrong += [name for name in names if type(environ[name]) is not str]
    wrong += ["environ"] if type(environ) is not dict else []
    return [f"wrong: {wrong}".encode()]


def errors(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    stream = environ["wsgi.errors"]
    stream.write("ERRORS written\n")
    stream.writelines(["ERRORS listed\n"])
    stream.flush()
    return [b"ok"]


def index(environ: Environ, start: Callable) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"up"]


APPS = {
    "write": with_write,
    "late": late,
    "again": again,
    "too-short": too_short,
    "string": a_string,
    "never-started": never_started,
    "raises": raises,
    "raises-after-start": raises_after_start,
    "wrapper": wrapper,
    "closed": closed,
    "keys": keys,
    "errors": errors,
    "": index,
}


def application(environ: Environ, start: Callable) -> Iterable[bytes]:
    return APPS[environ["PATH_INFO"].split("/")[1]](environ, start)
