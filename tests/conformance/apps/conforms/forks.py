"""What a fork changes: hooks, locks and state of libraries. True here: right in this process."""

import concurrent.futures
import logging
import multiprocessing
import multiprocessing.util
import os
import random
import tempfile
import threading
import uuid
import weakref
from pathlib import Path

from flask import Blueprint

bp = Blueprint("forks", __name__, url_prefix="/forks")
LOADED_IN = os.getpid()
STATE = random.getstate()
NAME = next(tempfile._get_candidate_names())
THREAD = threading.get_ident()
seen: list[str] = []
loaded: list[int] = [LOADED_IN]
os.register_at_fork(
    before=lambda: seen.append("before"),
    after_in_parent=lambda: seen.append("parent"),
    after_in_child=lambda: (seen.append("child"), loaded.append(os.getpid())),
)


class Client:
    """A library's connection, made anew in each process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.pid = os.getpid()


client = Client()
lock = threading.Lock()
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
weak = weakref.WeakSet([client])


def _in_child(look) -> str:
    """What a function returns in a child that a view forks."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.write(writer, str(look()).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return said


def _view_hooks() -> str:
    del seen[:]
    child = _in_child(lambda: " ".join(seen))
    return f"{child} | {' '.join(seen)}"


def _same_process_or(renewed: bool) -> str:
    return str(renewed or os.getpid() == LOADED_IN)


def _multiprocessing() -> str:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(" ".join(seen[-1:])))
    child.start()
    said = queue.get()
    child.join()
    return said


def _lock_free() -> str:
    free = lock.acquire(timeout=5)
    if free:
        lock.release()
    return str(free)


def _threads() -> str:
    """Only threads of this process are counted as alive."""
    alive = {thread.native_id for thread in threading.enumerate() if thread.native_id}
    real = {int(folder.name) for folder in Path("/proc/self/task").iterdir()}
    return str(alive <= real)


def _executor() -> str:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return str(pool.submit(lambda: 7).result(5))


FORKS = {
    "hook": lambda: _same_process_or(loaded[-1] == os.getpid()),
    "client": lambda: str(client.pid == os.getpid()),
    "lock": _lock_free,
    "view": _view_hooks,
    "nested": lambda: _in_child(lambda: loaded[-1] == os.getpid()),
    "multiprocessing": _multiprocessing,
    "random": lambda: _same_process_or(random.getstate() != STATE),
    "random-child": lambda: str(_in_child(random.random) != str(random.random())),
    "uuid": lambda: str(_in_child(uuid.uuid4) != str(uuid.uuid4())),
    "temporary": lambda: str(_in_child(tempfile.mktemp) != tempfile.mktemp()),
    "threads": _threads,
    "main-thread": lambda: str(threading.main_thread().is_alive()),
    "logging": lambda: str(logging.getLogger("forks").warning("FORKS logs")),
    "executor": _executor,
    "getpid": lambda: str(os.getpid() == int(Path("/proc/self").readlink().name)),
    "weak": lambda: str(len(weak)),
}


@bp.get("/<name>")
def fork(name: str) -> str:
    return FORKS[name]()
