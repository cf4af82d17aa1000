"""The bundle's own threads in a worker."""

import signal
from _thread import start_new_thread  # taken now, before an app can replace it
from collections.abc import Callable


def start(function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread that no signal interrupts, and that Python does not wait for.

    A signal to the worker goes to any thread that does not block it, and interrupts what it does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    start_new_thread(function, arguments)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
