"""Request timeouts, by polling the threads of a worker.

uWSGI's own ``harakiri`` has one clock for each worker. With threads, a quick request resets it
while another one is stuck; and when it fires, it kills healthy requests as well.
"""

import inspect
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class _Seen:
    """A request that a thread is at."""

    # Stands for the request, since uWSGI makes a new one for each. Held here, no other object can
    # come to be at the same address.
    body: object
    since: float
    told: bool = False


class Deadline:
    """Polls the threads of this process for requests that are late.

    A request is late when the app has not returned a response ``seconds`` after it was first seen.
    A response that has been returned, such as a stream, is not late. Apps that are not written in
    Python, and code that never releases the interpreter, are not detected.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._seen: dict[int, _Seen] = {}

    @property
    def late(self) -> int:
        """How many requests were late at the last look."""
        return sum(seen.told for seen in list(self._seen.values()))

    def missed(self) -> Iterator[str]:
        """Look at all threads; what to tell of each request that was not late before."""
        now = time.monotonic()
        before, self._seen = self._seen, {}
        for thread, frame in sys._current_frames().items():
            environ = _request(frame)
            if environ is None:
                continue
            seen = before.get(thread)
            if seen is None or seen.body is not environ["wsgi.input"]:
                seen = _Seen(environ["wsgi.input"], since=now)
            self._seen[thread] = seen
            if now - seen.since > self.seconds and not seen.told:
                seen.told = True
                yield _told(environ, now - seen.since, frame)


def _request(frame: FrameType) -> dict[str, Any] | None:
    """The environ that uWSGI has called the app with in a thread, while that call lasts."""
    called = frame
    while frame.f_back:
        called, frame = frame, frame.f_back
    # One of the threads is that of the program `uwsgi`, and the app is what it has called.
    if frame.f_globals["__name__"] == "__main__":
        frame = called
    # No further than the outermost function: a look at a function's variables makes what they
    # hold live longer.
    code = frame.f_code
    if code.co_flags & inspect.CO_GENERATOR:
        return None
    for name in code.co_varnames[: code.co_argcount]:
        value = frame.f_locals.get(name)
        if isinstance(value, dict) and "wsgi.input" in value:
            return value
    return None


def _told(environ: dict[str, Any], seconds: float, frame: FrameType) -> str:
    # Without the query, which may hold secrets.
    uri = environ.get("REQUEST_URI", "").partition("?")[0]
    return (
        f"{environ.get('REQUEST_METHOD')} {uri} (id {environ.get('HTTP_X_REQUEST_ID')}) has run"
        f" for {seconds:.1f} s and is here:\n{''.join(traceback.format_stack(frame))}"
    )
