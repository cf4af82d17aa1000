"""What sees to the end of a worker, so that no request is lost with it.

A worker ends when uWSGI's master asks for it, or when it has become unfit:
a request in it is stuck, it is too large, or too old, or streams without a client hold its threads.
A thread waits for each of the two.
``uwsgi.ini`` loads this with ``import``, before the apps; no request passes through it.
"""

import contextlib
import fcntl
import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import background, connections, held, log, settings, threads
from deploy.worker.deadline import Deadline
from deploy.worker.streams import Streams

# Seconds between two looks at the requests; and at what keeps a worker from its end.
PAUSE = 0.5
SHORT_PAUSE = 0.02
# Seconds that a new worker has to load the apps before the next one may leave.
REST = 10
# A worker's graceful end, as uwsgi.ini has it; and what asks for it: deploy/patches/children.patch
# has the master send it.
END = signal.SIGRTMIN
ASK = signal.SIGRTMIN + 2

_ending = threading.Event()


def start() -> None:
    """Start the threads in this worker.

    They block all signals. The main thread and those that are started from it later block none,
    since the app's child processes inherit that.
    """
    uwsgi.catch_end()
    threads.start(_end_when_asked)
    threads.start(_end_when_unfit)


def _end_when_asked() -> None:
    """Let nothing new arrive, answer what waits in the backlog, and what has begun; then end.

    uWSGI's master kills what takes longer than REQUEST_TIMEOUT (``worker-reload-mercy``).
    """
    uwsgi.wait_for_end()
    for path in settings.PATHS:
        # This instance's own name. If live.sock points to it, nginx finds nobody there and says
        # 503; a newer instance, which live.sock points to by now, is left alone.
        path.unlink(missing_ok=True)
    # Twice empty: somebody may have looked the name up just before, and connect just after.
    for _ in range(2):
        time.sleep(SHORT_PAUSE)
        while connections.backlog():
            time.sleep(SHORT_PAUSE)
    _stop_accepting()
    _ending.set()


def _end_when_unfit() -> None:
    """Wait until a request is stuck, or the worker is too large or too old, and then replace it.

    It answers what somebody still waits for, and leaves; uWSGI's master starts another one.
    """
    deadline, streams = Deadline(settings.REQUEST_TIMEOUT), Streams()
    timer, longest = held.Timer(), settings.REQUEST_TIMEOUT + held.GRACE
    timer.handle()
    born = time.monotonic()
    accepts, reason, late = settings.LOADED_ONCE, "", ""
    while not reason:
        if accepts:
            timer.renew(longest)
            time.sleep(PAUSE)
        else:  # while an app is loaded, the interpreter may be held for long
            timer.renew(settings.START_TIMEOUT)
            time.sleep(SHORT_PAUSE)
            # An app may take all signals for itself while it is loaded.
            timer.handle()
            uwsgi.catch_end()
        # With the debugger on, people stop a request to look into it.
        late = "" if settings.DEBUGGER else "".join(deadline.missed())
        for line in streams.end_lost():
            log.write(f"{line}\n")
        if _ending.is_set() and streams.only_stuck:
            background.finish()
            os._exit(0)
        if not late and streams.hold_up(settings.THREADS):
            late = (
                f"{streams.stuck} of {settings.THREADS} threads wait in streams without a client.\n"
            )
        reason = late
        with contextlib.suppress(OSError):  # no file descriptor is left, say
            accepts = accepts or _accepts()
            reason = late or _unfit(time.monotonic() - born)
    log.write(
        f"{reason}Worker {uwsgi.worker_id()} (pid {os.getpid()}) takes no new requests, and is"
        " replaced when its other ones are answered.\n"
    )
    _stop_accepting()
    latest = time.monotonic() + deadline.seconds
    finished = threading.Event()
    time.sleep(SHORT_PAUSE)  # what was just accepted begins
    # Without a stuck request, uWSGI ends the worker as soon as it can.
    if late:
        threads.start(_finish, finished, deadline, streams)
    while time.monotonic() < latest and not finished.is_set():
        time.sleep(SHORT_PAUSE)
        timer.renew(longest)
        for line in streams.end_lost():
            log.write(f"{line}\n")
        if more := "".join(deadline.missed()):
            log.write(more)
            if not late:
                threads.start(_finish, finished, deadline, streams)
            late = more
    log.flush()
    # Not exit(): it waits for a thread that is stuck.
    os._exit(0)


def _finish(finished: threading.Event, deadline: Deadline, streams: Streams) -> None:
    """Finish the requests that are not stuck, and what they have started in the background."""
    waited = True
    while waited or _awaited(deadline.late + streams.stuck):
        while _awaited(deadline.late + streams.stuck):
            time.sleep(SHORT_PAUSE)
        waited = background.wait()
    background.finish()
    finished.set()


def _unfit(age: float) -> str:
    """Why this worker has to be replaced, in a line; empty if it is fit."""
    if not all(path.exists() for path in settings.PATHS):
        # The others are ending, and the signal came before this worker could catch it.
        os.kill(os.getpid(), ASK)
    if not connections.listening():
        return "The app has closed uWSGI's listening sockets.\n"
    if settings.WORKER_LIFETIME and age > settings.WORKER_LIFETIME and _in_turn():
        return f"WORKER_LIFETIME: {settings.WORKER_LIFETIME} s have passed.\n"
    if settings.WORKER_MEMORY and (taken := _memory()) > settings.WORKER_MEMORY and _in_turn():
        return f"WORKER_MEMORY: {taken // 1024**2} MB are taken.\n"
    return ""


def _memory() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _in_turn() -> bool:
    """Whether this worker may leave now: no other one leaves, has left, or is new."""
    # Opened in this process, and so the lock is this worker's until it ends.
    folder = os.open(settings.SOCKETS, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        in_turn = False
    else:
        in_turn = all(map(_has_settled, uwsgi.workers()))
    if not in_turn:
        os.close(folder)
    return in_turn


def _has_settled(worker: dict[str, Any]) -> bool:
    # uWSGI's master takes up to a second to notice that one has ended.
    state = Path(f"/proc/{worker['pid']}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z" and time.time() - worker["last_spawn"] > REST


def _stop_accepting() -> None:
    """Let uWSGI finish what has begun, take nothing new, and end this worker."""
    if not _accepts():
        os._exit(0)  # nothing has begun
    os.kill(os.getpid(), END)


def _awaited(stuck: int) -> bool:
    """Whether this worker has more requests than that are stuck, or a client waits for one of them.

    None does for long: nginx sends 504 and closes the connection.
    """
    requests = uwsgi.requests()
    return len(requests) > stuck or not all(left for _, _, left, _ in requests)


def _accepts() -> bool:
    """Whether uWSGI takes requests in this worker.

    uWSGI's usual signal for a graceful end is SIGHUP. In a worker that still loads its apps, the
    handler for that is the master's, and would end all others; for this one, there is none yet.
    """
    status = Path("/proc/self/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (END - 1) & 1)


if not settings.LOADED_ONCE:
    start()  # loaded by each worker for itself
else:
    # What is there at the fork stays shared memory: the collector would write into all of it.
    postfork(gc.freeze)
    postfork(start)
