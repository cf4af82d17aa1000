"""Streams whose client has left: found from outside, and ended.

uWSGI finds out that a client has left when it writes, so a stream that waits for an event, or only
yields ``b""``, would hold its thread for as long as nothing happens.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

import uwsgi

# Seconds for a stream to find out by itself, at its next chunk.
GRACE = 3
# Seconds that a stream may take to end. One that waits in C code ends when that returns.
ENDING = 1


class Streams:
    """The streams of this worker, as far as a look now and then shows them.

    Only a response that has been returned is ended: a view continues when its client has left.
    """

    def __init__(self) -> None:
        # By core and start of the request.
        self._lost: dict[tuple[int, int], float] = {}
        self._requests = 0

    def end_lost(self) -> Iterator[str]:
        """Look at all requests, and end the streams whose client has left; what to tell of each."""
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
                # Without the query, which may hold secrets.
                path = uri.partition("?")[0]
                yield f"{method} {path} (id {request_id}): the client left, its stream is ended."

    @property
    def stuck(self) -> int:
        """How many threads wait in streams that should have ended."""
        now = time.monotonic()
        return sum(now - since > GRACE + ENDING for since in self._lost.values())

    @property
    def only_stuck(self) -> bool:
        """Whether this worker is at nothing else."""
        return 0 < self._requests == self.stuck

    def hold_up(self, threads: int) -> bool:
        """Whether the worker is to be replaced for them: half of its threads are gone.

        Not while it has a thread to spare and others to finish, since it takes no new requests
        until then.
        """
        return self.stuck * 2 >= threads and self._requests in {self.stuck, threads}


def _wake(thread: int) -> None:
    """Wake a thread that waits in a queue, an event or a condition, which nothing may ever do.

    An exception is only raised between two instructions of Python, not in a lock.
    """
    frame = sys._current_frames().get(thread)
    if frame and frame.f_code is threading.Condition.wait.__code__:
        with contextlib.suppress(RuntimeError):  # woken by now
            frame.f_locals["waiter"].release()
