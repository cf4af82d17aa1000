"""What sees to the end of a worker, so that no request is lost with it.

A worker ends when it is asked to (uWSGI's master sends SIGINT then), or when it has become unfit:
a request in it is stuck, it is too large, or too old, or streams without a client hold its threads.
A thread waits for each of the two.
``uwsgi.ini`` loads this with ``import``, before the apps; no request passes through it.
"""

import fcntl
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uwsgi
from uwsgidecorators import postfork

from deploy.worker.deadline import Deadline
from deploy.worker.streams import Streams

# Seconds between two looks at the requests; and at what keeps a worker from its end.
PAUSE = 0.5
SHORT_PAUSE = 0.02
# Seconds that a new worker has to load the apps before the next one may leave.
REST = 10
# What uwsgi.ini has for a worker's graceful end; nobody else sends it.
END = signal.SIGRTMIN

_ending = threading.Event()


def start() -> None:
    """Start the threads in this worker.

    They block all signals. The main thread and those that are started from it later block none,
    since the app's child processes inherit that.
    """
    uwsgi.catch_end()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Thread(target=_end_when_asked, daemon=True).start()
    threading.Thread(target=_end_when_unfit, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_when_asked() -> None:
    """Let nothing new arrive, answer what waits in the backlog, and what has begun; then end.

    uWSGI's master kills what takes longer than REQUEST_TIMEOUT (``worker-reload-mercy``).
    """
    uwsgi.wait_for_end()
    for path in _paths():
        # This instance's own name. If live.sock points to it, nginx finds nobody there and says
        # 503; a newer instance, which live.sock points to by now, is left alone.
        path.unlink(missing_ok=True)
    # Twice empty: somebody may have looked the name up just before, and connect just after.
    for _ in range(2):
        time.sleep(SHORT_PAUSE)
        while _backlog():
            time.sleep(SHORT_PAUSE)
    _stop_accepting()
    _ending.set()


def _end_when_unfit() -> None:
    """Wait until a request is stuck, or the worker is too large or too old, and then replace it.

    It answers what somebody still waits for, and leaves; uWSGI's master starts another one.
    """
    deadline = Deadline(int(os.environ["REQUEST_TIMEOUT"]))
    streams = Streams()
    threads = int(uwsgi.opt["threads"])
    born = time.monotonic()
    lifetime = int(os.environ["WORKER_LIFETIME"] or 0)
    memory = int(os.environ["WORKER_MEMORY"] or 0)
    reason = ""
    while not reason:
        time.sleep(PAUSE)
        if not all(path.exists() for path in _paths()):
            # The others are ending, and the signal came before this worker could hear of it.
            os.kill(os.getpid(), signal.SIGINT)
        # With the debugger on, people stop a request to look into it.
        if not os.environ.get("UWSGI_DEBUG"):
            reason = "".join(deadline.missed())
        for line in streams.end_lost():
            _log(line)
        if _ending.is_set() and streams.only_stuck:
            os._exit(0)
        if not reason and streams.stuck * 2 >= threads:
            reason = f"{streams.stuck} of {threads} threads wait in streams without a client.\n"
        if not reason and lifetime and time.monotonic() - born > lifetime and _in_turn():
            reason = f"WORKER_LIFETIME: {lifetime} s have passed.\n"
        if not reason and memory and (taken := _memory()) > memory and _in_turn():
            reason = f"WORKER_MEMORY: {taken // 1024**2} MB are taken.\n"
    _log(
        f"{reason}Worker {uwsgi.worker_id()} (pid {os.getpid()}) takes no new requests, and is"
        " replaced when its other ones are answered."
    )
    _stop_accepting()
    latest = time.monotonic() + deadline.seconds
    time.sleep(SHORT_PAUSE)  # what was just accepted begins
    while _awaited() and time.monotonic() < latest:
        time.sleep(SHORT_PAUSE)
        if late := "".join(deadline.missed()):
            _log(late)
    # Not exit(): it waits for a thread that is stuck.
    os._exit(0)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _memory() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _in_turn() -> bool:
    """Whether this worker may leave now: no other one leaves, has left, or is new."""
    # Opened in this process, and so the lock is this worker's until it ends.
    folder = os.open(os.environ["SOCKETS"], os.O_RDONLY)
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
    # uWSGI's usual signal is SIGHUP. In a worker that still loads its apps, the handler for that
    # is the master's, and would end all others; for this one, there is none until it accepts.
    status = Path("/proc/self/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    if not caught >> (END - 1) & 1:
        os._exit(0)  # nothing has begun
    os.kill(os.getpid(), END)


def _sockets() -> list[socket.socket]:
    """The sockets that this worker takes requests from."""
    return [socket.socket(fileno=os.dup(fd)) for fd in uwsgi.sockets]


def _paths() -> list[Path]:
    return [Path(s.getsockname()) for s in _sockets() if s.family == socket.AF_UNIX]


def _backlog() -> bool:
    """Whether somebody waits to be accepted."""
    listening = select.poll()
    for fd in uwsgi.sockets:
        listening.register(fd, select.POLLIN)
    return bool(listening.poll(0))


def _awaited() -> bool:
    """Whether somebody waits for an answer from this worker.

    Nobody does for that of a stuck request: nginx answers 504 and hangs up.
    """
    return not all(left for _, _, left, _ in uwsgi.requests())


if uwsgi.worker_id():
    start()  # loaded by each worker for itself
else:
    # What is there at the fork stays shared memory: the collector would write into all of it.
    postfork(gc.freeze)
    postfork(start)
