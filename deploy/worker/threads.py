"""Threads of this bundle in a worker."""

import signal
from _thread import start_new_thread  # taken now, before an app can replace it
from collections.abc import Callable


def start(function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread with all signals blocked, which Python does not join.

    A signal to the worker interrupts any thread that does not block it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    start_new_thread(function, arguments)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
