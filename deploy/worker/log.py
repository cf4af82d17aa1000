"""Standard output and error, the log of the app: whole lines, and with LOG_FORMAT=json, JSON.

Python buffers 8 kB for a pipe or a file, which delays lines. With PYTHONUNBUFFERED, a ``print()``
is two writes, and lines of threads and workers get mixed. Here each line is one write.
"""

import contextlib
import io
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import uwsgi

from deploy.worker import settings

# Bytes of the longest line that is one write.
_LONGEST = 1024**2
# How an object begins. log_relay.pl passes such lines on as they are.
_OBJECT = '{"time":"'
_TRACEBACK = "Traceback (most recent call last):\n"
# https://www.w3.org/TR/trace-context/
_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def request_var(name: str) -> str:
    """A variable of this thread's request, as in the WSGI environ; empty if there is none.

    The request of an app's own thread is that of the Flask context it has.
    """
    value = uwsgi.request_var(name)
    if value is None and (flask := sys.modules.get("flask")):
        with contextlib.suppress(AttributeError):  # Flask is being imported
            if flask.has_request_context():
                value = flask.request.environ.get(name)
    return value or ""


def of_request() -> dict[str, str]:
    """What the lines of this thread's request have in common; empty outside of requests."""
    if not (request_id := request_var("HTTP_X_REQUEST_ID")):
        return {}
    traceparent = request_var("HTTP_TRACEPARENT")  # the client's
    valid = _TRACEPARENT.fullmatch(traceparent)
    return {"request_id": request_id} | ({"traceparent": traceparent} if valid else {})


def as_json(message: str, fields: Mapping[str, Any], time: float | None = None) -> str:
    """A JSON object in a line.

    Args:
        message: the message. A traceback at its end becomes a field of its own.
        fields: the other fields. What JSON has no type for is written as text.
        time: when it happened, in seconds; now, by default.
    """
    before, begin, rest = message.partition(_TRACEBACK)
    traceback = (begin + rest).rstrip()
    message = before.rstrip() or traceback.rpartition("\n")[2] or message.rstrip()
    values = {"time": _iso(time), "message": message}
    if traceback:
        values["traceback"] = traceback
        fields = {"level": "error", **fields}
    values |= {name: value for name, value in fields.items() if name not in values}
    try:
        return _dumps(values)
    except (TypeError, ValueError):  # a key that is no text, NaN, or a circle
        return _dumps({name: str(value) for name, value in values.items()})


def own_json(text: str, fields: Mapping[str, Any]) -> str | None:
    """JSON that the app has written itself, an object a line, with more fields; None if it is not.

    A field of the app's wins.
    """
    more = {"time": _iso(), **fields}
    try:
        return "\n".join(_dumps(more | json.loads(line)) for line in text.splitlines())
    except (TypeError, ValueError):
        return None


def _iso(time: float | None = None) -> str:
    when = datetime.now(UTC) if time is None else datetime.fromtimestamp(time, UTC)
    return when.isoformat(timespec="milliseconds")


def _dumps(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), default=str, allow_nan=False)


class _Json(io.TextIOWrapper):
    """Text as JSON: an object for each write that ends a line.

    The parts of a line, as ``print()`` writes them, are put together for each thread.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stream = {1: "stdout", 2: "stderr"}[self.fileno()]
        self._parts: dict[int, str] = {}

    def write(self, text: str) -> int:
        """Write a part of a line, a line, or several."""
        thread = threading.get_ident()
        whole = self._parts.pop(thread, "") + text
        if text.endswith("\n"):
            self._write_object(whole)
        elif whole:
            self._parts[thread] = whole
        return len(text)

    def flush(self) -> None:
        """Write the parts of this thread's line, too."""
        self._write_object(self._parts.pop(threading.get_ident(), ""))
        super().flush()

    def _write_object(self, text: str) -> None:
        if text.startswith(_OBJECT):
            super().write(text)
        elif text.strip():
            fields = {"stream": self._stream, "worker": uwsgi.worker_id()} | of_request()
            own = own_json(text, fields) if text.startswith("{") else None
            super().write(f"{own or as_json(text, fields)}\n")


def _whole_lines(stream: TextIO) -> TextIO:
    file = io.FileIO(stream.fileno(), "w", closefd=False)
    text = (_Json if settings.JSON else io.TextIOWrapper)(
        io.BufferedWriter(file, _LONGEST),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
    text._CHUNK_SIZE = _LONGEST  # its own buffer for an incomplete line
    return text


def write(text: str) -> None:
    """Write a message of this bundle, even if the app has replaced the streams."""
    if settings.JSON:
        fields = {"worker": uwsgi.worker_id()}
        if found := re.search(r"\(id (\w+)\)", text):
            fields["request_id"] = found[1]
        text = f"{as_json(text, fields)}\n"
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))


def flush() -> None:
    """Write incomplete lines of the app."""
    for stream in (_out, _error):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


sys.stdout = sys.__stdout__ = _out = _whole_lines(sys.stdout)
sys.stderr = sys.__stderr__ = _error = _whole_lines(sys.stderr)
