"""Threads, timers, and what goes on in the background when the server stops."""

import asyncio
import atexit
import concurrent.futures
import contextvars
import logging
import logging.handlers
import queue
import tempfile
import threading
import time
import weakref

from flask import Blueprint, copy_current_request_context, current_app, request

from .shared import NOTES, note, say

bp = Blueprint("threads", __name__, url_prefix="/threads")
SECONDS = 30
executor = concurrent.futures.ThreadPoolExecutor(2)
local = threading.local()
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
jobs: "queue.Queue[tuple[str, queue.Queue]]" = queue.Queue()
started = threading.Lock()
consumer: list[threading.Thread] = []
LOADED_BY = "loaded"
atexit.register(say, "STOP atexit at import")


class Kept:
    pass


kept = Kept()
weakref.finalize(kept, say, "STOP finalize at import")


def _thread() -> str:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(threading.get_ident()))
    thread.start()
    thread.join(SECONDS)
    return str(len(found))


def _timer() -> str:
    done = threading.Event()
    threading.Timer(0.1, done.set).start()
    return str(done.wait(SECONDS))


def _cancelled_timer() -> str:
    done = threading.Event()
    timer = threading.Timer(60, done.set)
    timer.start()
    timer.cancel()
    timer.join(SECONDS)
    return str(done.is_set())


def _executor() -> str:
    return str(list(executor.map(abs, range(-3, 3), timeout=SECONDS)))


def _consumer() -> str:
    """A worker thread that is started by the first request."""

    def consume() -> None:
        while True:
            word, back = jobs.get()
            back.put(word.upper())

    with started:
        if not consumer:
            consumer.append(threading.Thread(target=consume, daemon=True))
            consumer[0].start()
    back: queue.Queue[str] = queue.Queue()
    jobs.put(("word", back))
    return back.get(timeout=SECONDS)


def _local() -> str:
    seen = getattr(local, "value", "fresh")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(getattr(local, "value", "fresh")))
    local.value = "set"
    thread.start()
    thread.join(SECONDS)
    del local.value
    return f"{seen} {found}"


def _context() -> str:
    seen = variable.get()
    variable.set("set by a request")
    return seen


def _copied_context() -> str:
    found: list[str] = []

    @copy_current_request_context
    def look() -> None:
        found.append(f"{request.path} {current_app.name}")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(SECONDS)
    return str(found)


async def _gathered() -> list[int]:
    async def later(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    return await asyncio.gather(*map(later, range(5)))


async def _in_thread() -> str:
    return await asyncio.to_thread(lambda: "in a thread")


def _barrier() -> str:
    barrier = threading.Barrier(5)
    threads = [threading.Thread(target=barrier.wait, args=(SECONDS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait(SECONDS)
    return "all five"


def _event_loop() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "none runs"
    return "one runs"


def _failing() -> str:
    def fail() -> None:
        raise ValueError("THREAD fails")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join(SECONDS)
    return str(thread.is_alive())


def _lock() -> str:
    lock = threading.RLock()
    with lock, lock:
        return "held twice"


THREADS = {
    "thread": _thread,
    "timer": _timer,
    "cancelled-timer": _cancelled_timer,
    "executor": _executor,
    "consumer": _consumer,
    "local": _local,
    "context": _context,
    "copied-context": _copied_context,
    "asyncio": lambda: str(asyncio.run(_gathered())),
    "to-thread": lambda: asyncio.run(_in_thread()),
    "barrier": _barrier,
    "event-loop": _event_loop,
    "failing": _failing,
    "lock": _lock,
    "daemon": lambda: str(threading.current_thread().is_alive()),
    "sleep": lambda: str(time.sleep(0.2)),
}


@bp.get("/run/<name>")
def run(name: str) -> str:
    return THREADS[name]()


@bp.get("/later/<token>")
def later(token: str) -> str:
    """A thread that goes on after the response."""

    def work() -> None:
        time.sleep(0.3)
        note(token)

    threading.Thread(target=work).start()
    return "accepted"


@bp.get("/done/<token>")
def done(token: str) -> str:
    for _ in range(SECONDS * 20):
        if (NOTES / token).exists():
            return "done"
        time.sleep(0.05)
    return "not done"


# --- What a stop finds running ---


def _slow(token: str) -> None:
    time.sleep(1.5)
    say("STOP done", token)


def _stop_thread(token: str) -> None:
    threading.Thread(target=_slow, args=(token,)).start()


def _stop_executor(token: str) -> None:
    executor.submit(_slow, token)


def _stop_executor_in_view(token: str) -> None:
    concurrent.futures.ThreadPoolExecutor(1).submit(_slow, token)


def _stop_queued(token: str) -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(time.sleep, 0.5)
    pool.submit(say, "STOP done", token)


def _stop_atexit(token: str) -> None:
    atexit.register(say, "STOP done", token)


def _stop_finalize(token: str) -> None:
    thing = Kept()
    weakref.finalize(thing, say, "STOP done", token)
    globals()[f"kept_{token}"] = thing


def _stop_timer(token: str) -> None:
    threading.Timer(1, say, ("STOP done", token)).start()


def _stop_daemon(token: str) -> None:
    def work() -> None:
        time.sleep(120)
        say("STOP done", token)

    threading.Thread(target=work, daemon=True).start()


def _stop_memory_handler(token: str) -> None:
    """Lines that a handler keeps until the logging module is shut down."""
    target = logging.StreamHandler()
    handler = logging.handlers.MemoryHandler(1000, logging.CRITICAL, target)
    log = logging.getLogger(token)
    log.addHandler(handler)
    log.warning("STOP done %s", token)


def _stop_directory(token: str) -> None:
    globals()[f"kept_{token}"] = directory = tempfile.TemporaryDirectory(dir=NOTES)
    weakref.finalize(directory, say, "STOP done", token)


STOPS = {
    "thread": _stop_thread,
    "executor": _stop_executor,
    "executor-in-view": _stop_executor_in_view,
    "queued": _stop_queued,
    "atexit": _stop_atexit,
    "finalize": _stop_finalize,
    "timer": _stop_timer,
    "daemon": _stop_daemon,
    "memory-handler": _stop_memory_handler,
    "directory": _stop_directory,
}


@bp.get("/stop/<name>/<token>")
def stop(name: str, token: str) -> str:
    STOPS[name](token)
    return "accepted"
