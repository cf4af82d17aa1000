"""Graceful shutdown and replacement of a worker, without dropped requests.

A worker exits when uWSGI's master requests it, or when it is unfit: a request is stuck, it exceeds
WORKER_MEMORY or WORKER_LIFETIME, or streams without a client occupy its threads. A thread waits for
each of the two. ``uwsgi.ini`` imports this before the apps; requests do not pass through it.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import background, connections, events, held, log, settings, stacks, threads
from deploy.worker.deadline import Deadline
from deploy.worker.streams import Streams

# Seconds between two polls of the requests, and of a worker that is draining.
PAUSE = 0.5
SHORT_PAUSE = 0.02
# Seconds for nginx, after DRAIN_DELAY, to pass on what it has accepted.
NGINX = 2
# Seconds for a new worker to load the apps before the next one is replaced.
REST = 10
# Seconds that a worker may be at RLIMIT_NOFILE.
FILES_PATIENCE = 5
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
    # The out-of-memory killer picks a worker before the master, which replaces it.
    with contextlib.suppress(OSError):
        adjustment = Path("/proc/self/oom_score_adj")
        adjustment.write_text(str(min(1000, int(adjustment.read_text()) + 100)))
    uwsgi.catch_end()
    threads.start_or_end(_end_when_asked)
    threads.start_or_end(_end_when_unfit)


def _end_when_asked() -> None:
    """Graceful shutdown: drain the backlog, finish in-flight requests, and exit.

    uWSGI's master kills the worker after REQUEST_TIMEOUT, and what DRAIN_DELAY adds to it
    (``worker-reload-mercy``).
    """
    uwsgi.wait_for_end()
    if settings.DRAIN_DELAY and _is_live():
        # The readiness of this machine fails (nginx/modes/ready.conf.template), and requests are
        # still accepted. nginx may be stopping, too, and passes its last requests on after that.
        for path in settings.PATHS:
            if path.suffix == ".health":
                path.unlink(missing_ok=True)
        time.sleep(settings.DRAIN_DELAY + NGINX)
    for path in settings.PATHS:
        # This instance's own socket. If live.sock links to it, nginx responds with 503. If
        # live.sock links to a newer instance, that is not affected.
        path.unlink(missing_ok=True)
    # Twice empty: a client may have resolved the path just before, and connect just after.
    for _ in range(2):
        time.sleep(SHORT_PAUSE)
        while connections.backlog():
            time.sleep(SHORT_PAUSE)
    _stop_accepting()
    _ending.set()


def _is_live() -> bool:
    """Whether nginx passes requests to this instance."""
    with contextlib.suppress(OSError):
        live = (settings.SOCKETS / "live.sock").readlink().name
        return live in (path.name for path in settings.PATHS)
    return False


def _end_when_unfit() -> None:
    """Wait until the worker is unfit, and replace it.

    It finishes the requests that clients still wait for, and exits; uWSGI's master respawns it.
    """
    deadline, streams = Deadline(settings.REQUEST_TIMEOUT), Streams()
    timer, longest = held.Timer(), settings.REQUEST_TIMEOUT + held.GRACE
    timer.handle()
    stacks.handle()
    born = has_files = time.monotonic()
    accepts, cause, reason, late = False, "", "", ""
    while not reason:
        if accepts:
            timer.renew(longest)
            time.sleep(PAUSE)
        else:  # loading an app and its warm-up may hold the interpreter for long
            timer.renew(settings.START_TIMEOUT)
            time.sleep(SHORT_PAUSE)
            # An app may replace all signal handlers while it is loaded.
            timer.handle()
            uwsgi.catch_end()
            born = time.monotonic()  # it is of no use before
        # With the debugger on, requests stop at breakpoints.
        cause, late = "timeout", "" if settings.DEBUGGER else "".join(deadline.missed())
        for line in streams.end_lost():
            log.write(f"{line}\n")
        if _ending.is_set() and streams.only_stuck:
            background.finish()
            os._exit(0)
        if not late and streams.hold_up(settings.THREADS):
            cause = "streams"
            late = (
                f"{streams.stuck} of {settings.THREADS} threads wait in streams without a client.\n"
            )
        if _has_files():
            has_files = time.monotonic()
        reason = late
        if not reason:
            cause, reason = "open files", _without_files(time.monotonic() - has_files)
        accepts = accepts or _accepts()
        with contextlib.suppress(OSError):  # no file descriptor is left, say
            if not reason:
                cause, reason = _unfit(time.monotonic() - born)
    events.send(cause)
    log.write(
        f"{reason}Worker {uwsgi.worker_id()} (pid {os.getpid()}) takes no new requests, and is"
        " replaced when its other ones are finished.\n"
    )
    _stop_accepting()
    latest = time.monotonic() + deadline.seconds
    finished = threading.Event()
    time.sleep(SHORT_PAUSE)  # for requests that were just accepted
    # Without a stuck request, uWSGI ends the worker as soon as it can.
    if late:
        _start_finishing(finished, deadline, streams)
    while time.monotonic() < latest and not finished.is_set():
        time.sleep(SHORT_PAUSE)
        timer.renew(longest)
        for line in streams.end_lost():
            log.write(f"{line}\n")
        if more := "".join(deadline.missed()):
            log.write(more)
            if not late:
                _start_finishing(finished, deadline, streams)
            late = more
    log.flush()
    # Not exit(): it waits for a thread that is stuck.
    os._exit(0)


def _start_finishing(*arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # no thread can be started: it ends at its deadline
        threads.start(_finish, *arguments)


def _finish(finished: threading.Event, deadline: Deadline, streams: Streams) -> None:
    """Finish the requests that are not stuck, and their background work."""
    waited = True
    while waited or _awaited(deadline.late + streams.stuck):
        while _awaited(deadline.late + streams.stuck):
            time.sleep(SHORT_PAUSE)
        waited = background.wait()
    background.finish()
    finished.set()


def _has_files() -> bool:
    """Whether this process may open another file (RLIMIT_NOFILE)."""
    try:
        os.close(os.dup(0))
    except OSError as error:
        return error.errno != errno.EMFILE
    return True


def _without_files(seconds: float) -> str:
    """Why this worker has to be replaced after so long at RLIMIT_NOFILE; empty if it is fit."""
    if seconds < FILES_PATIENCE:
        return ""
    return (
        f"Too many open files: {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}. An app whose number"
        " of open files only grows does not close them; otherwise raise ulimits.nofile (Compose) or"
        " LimitNOFILE= (systemd).\n"
    )


def _unfit(age: float) -> tuple[str, str]:
    """Why this worker has to be replaced, in a word and in a line; both empty if it is fit."""
    if not all(path.exists() for path in settings.PATHS):
        # The others are ending, and the signal came before this worker could catch it.
        os.kill(os.getpid(), ASK)
    if not connections.listening():
        return "closed sockets", "The app has closed uWSGI's listening sockets.\n"
    if settings.WORKER_LIFETIME and age > settings.WORKER_LIFETIME and _in_turn():
        return "lifetime", f"WORKER_LIFETIME: {settings.WORKER_LIFETIME} s have passed.\n"
    if settings.WORKER_MEMORY and (taken := _memory()) > settings.WORKER_MEMORY and _in_turn():
        return "memory", f"WORKER_MEMORY: {taken // 1024**2} MB are taken.\n"
    return "", ""


def _memory() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _in_turn() -> bool:
    """Whether this worker may be replaced now: no other one is being replaced, or new."""
    # Opened in this process, so the lock is held until it exits.
    directory = os.open(settings.SOCKETS, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        in_turn = False
    else:
        in_turn = all(map(_has_settled, uwsgi.workers()))
    if not in_turn:
        os.close(directory)
    return in_turn


def _has_settled(worker: dict[str, Any]) -> bool:
    # uWSGI's master takes up to a second to notice that one has ended.
    state = Path(f"/proc/{worker['pid']}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z" and uwsgi.micros() / 1e6 - worker["last_spawn"] > REST


def _stop_accepting() -> None:
    """Let uWSGI finish in-flight requests, accept no new ones, and exit."""
    if not _accepts():
        os._exit(0)  # there are none
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
    action = (ctypes.c_void_p * 32)()  # sigaction(2); Python only knows of its own handlers
    ctypes.CDLL(None).sigaction(END, None, action)
    return action[0] not in (None, int(signal.SIG_IGN))


# What uWSGI was started with, such as the lock of deploy/server/spool.py, is not for the app's
# children.
for entry in Path("/proc/self/fd").iterdir():
    with contextlib.suppress(OSError):  # that of /proc/self/fd itself
        os.set_inheritable(int(entry.name), int(entry.name) <= 2)

if not settings.LOADED_ONCE:
    start()  # loaded by each worker for itself
else:
    # Memory of before the fork stays shared: a collection would write to all of it.
    postfork(gc.freeze)
    postfork(start)
