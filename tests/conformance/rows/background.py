"""Threads, timers, and what a stop finds running."""

from functools import partial

from tests.conformance.row import Row, status_and_body

row = partial(Row, "threads and background work", look=status_and_body)
RUN = {
    "thread": "a thread",
    "timer": "a timer",
    "cancelled-timer": "a timer that is cancelled",
    "executor": "a ThreadPoolExecutor of the module",
    "consumer": "a worker thread that the first request starts",
    "local": "threading.local",
    "context": "a context variable is fresh in each request",
    "copied-context": "copy_current_request_context",
    "asyncio": "asyncio.run",
    "to-thread": "asyncio.to_thread",
    "barrier": "five threads that meet",
    "event-loop": "no event loop runs",
    "lock": "an RLock",
    "daemon": "the current thread is alive",
    "sleep": "time.sleep",
}
STOP = {
    "thread": "a thread",
    "timer": "a timer",
    "executor": "a job of the module's executor",
    "executor-in-view": "a job of an executor made in a view",
    "queued": "a job that waits in an executor",
    "atexit": "atexit.register in a view",
    "finalize": "weakref.finalize in a view",
    "memory-handler": "lines that logging keeps in memory",
    "directory": "a TemporaryDirectory",
}
ROWS = (
    *(row(text, (f"/x/threads/run/{name}",)) for name, text in RUN.items()),
    row(
        "a thread that fails is in the log",
        ("/x/threads/run/failing",),
        logs=("ValueError: THREAD fails",),
    ),
    row(
        "a thread that goes on after the response",
        ("/x/threads/later/{token}", "/x/threads/done/{token}"),
    ),
    *(
        row(
            f"at stop: {text}",
            (f"/x/threads/stop/{name}/{{token}}",),
            logs=(r"STOP done {token}( \(id \w+\))?$",),
            at_stop=True,
        )
        for name, text in STOP.items()
    ),
    row(
        "at stop: a daemon thread does not hold it up",
        ("/x/threads/stop/daemon/{token}",),
        quiet=("STOP done {token}$",),
        at_stop=True,
    ),
    row(
        "at stop: atexit.register at import",
        ("/x/",),
        logs=("STOP atexit at import$",),
        at_stop=True,
    ),
    row(
        "at stop: weakref.finalize at import",
        ("/x/",),
        logs=("STOP finalize at import$",),
        at_stop=True,
    ),
)
