"""Streams whose client has disconnected are ended.

uWSGI detects a disconnect only when it writes, so a stream that waits for an event, or only yields
``b""``, would occupy its thread indefinitely.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import uwsgi

# Grace period in seconds, in which the stream's next chunk detects the disconnect.
GRACE = 3
# Seconds for a stream to end. One that waits in C code ends when that returns.
ENDING = 1


class Streams:
    """Polls the streams of this worker.

    Only a response that has been returned is ended: a view continues without its client.
    """

    def __init__(self) -> None:
        # By core and start of the request.
        self._lost: dict[tuple[int, int], float] = {}
        self._requests = 0

    def end_lost(self) -> Iterator[str]:
        """End the streams whose client has disconnected; a log line for each."""
        now = time.monotonic()
        requests = uwsgi.requests()
        self._requests = len(requests)
        self._lost = {
            (core, start): self._lost.get((core, start), now)
            for core, start, _, lost in requests
            if lost
        }
        for core, start, _, lost in requests:
            # GeneratorExit, as close() raises it in a generator.
            if lost and now - self._lost[core, start] > GRACE and uwsgi.end_stream(core):
                thread, method, uri, request_id = lost
                _wake(thread)
                # Without the query, which may contain secrets.
                path = uri.partition("?")[0]
                yield f"{method} {path} (id {request_id}): the client left, its stream is ended."

    @property
    def stuck(self) -> int:
        """The number of threads in streams that should have ended."""
        now = time.monotonic()
        return sum(now - since > GRACE + ENDING for since in self._lost.values())

    @property
    def only_stuck(self) -> bool:
        """Whether this worker has no other requests."""
        return 0 < self._requests == self.stuck

    def hold_up(self, threads: int) -> bool:
        """Whether the worker is to be replaced because they occupy half of its threads.

        Not while it has both an idle thread and other requests: it would accept no new requests
        until those are finished.
        """
        return self.stuck * 2 >= threads and self._requests in {self.stuck, threads}


def _wake(thread: int) -> None:
    """Wake a thread that waits for a queue, an event or a condition.

    Python raises an exception only between two instructions, not while a thread waits for a lock.
    """
    frame = sys._current_frames().get(thread)
    if frame and frame.f_code is threading.Condition.wait.__code__:
        with contextlib.suppress(RuntimeError):  # already woken
            frame.f_locals["waiter"].release()
