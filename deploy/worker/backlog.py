"""Bound the listen backlog by time, so that overload ends with the load that caused it.

A backlog that is bounded by number alone can hold a request for longer than its client waits. The
workers then serve clients that have left, and go on to do so: a metastable failure (Bronson et al.,
"Metastable Failures in Distributed Systems", HotOS 2021). While requests wait in it, it may hold
what all workers can begin within a quarter of REQUEST_TIMEOUT; nginx's next connection is rejected,
which is a 503 at once. What was let in before the rate was known is dropped when it has waited for
three quarters (deploy/patches/not-run.patch). ``uwsgi.ini`` loads this with ``import``; no request
passes through it.
"""

import os
import socket
import time
from collections import deque

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import connections, settings, threads

# Seconds between two looks, and that a backlog stands before it counts, or is gone.
PAUSE = 0.5
STANDING = 2
# The part of REQUEST_TIMEOUT that a request may wait; the rest is for the app.
SHARE = 4


def start() -> None:
    """Start the thread in this worker."""
    threads.start_or_end(_bound, settings.REQUEST_TIMEOUT)


def _bound(timeout: int) -> None:
    """Set the length of the backlog, as long as this worker runs.

    Each worker does, since each can end; they count the same requests.
    """
    sockets = [socket.socket(fileno=os.dup(fd)) for fd in uwsgi.sockets]
    at_once = len(uwsgi.workers()) * settings.THREADS
    longest = int(uwsgi.opt["listen"])
    served: deque[tuple[float, int]] = deque()  # when, and how many requests until then
    last = float("-inf")
    while True:
        time.sleep(PAUSE)
        now = time.monotonic()
        if connections.backlog():
            last = now
        elif now - last > STANDING:
            if served:
                served.clear()
                _listen(sockets, longest)
            continue
        served.append((now, uwsgi.total_requests()))
        while now - served[0][0] > timeout / 2:
            served.popleft()
        seconds, count = now - served[0][0], served[-1][1] - served[0][1]
        if seconds >= STANDING:
            # All threads may be about to finish: rather too long a backlog than too short a one.
            a_second = (count + at_once) / seconds
            _listen(sockets, min(longest, max(1, round(a_second * timeout / SHARE))))


def _listen(sockets: list[socket.socket], backlog: int) -> None:
    # A socket that listens already takes the new length, for all processes.
    for listening in sockets:
        listening.listen(backlog)


if uwsgi.worker_id():
    start()  # loaded by each worker for itself
else:
    postfork(start)
