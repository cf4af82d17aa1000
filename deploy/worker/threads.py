"""Threads of this bundle in a worker."""

import os
import signal
from _thread import start_new_thread  # taken now, before an app can replace it
from collections.abc import Callable

from deploy.worker import log


def start(function: Callable[..., None], *arguments: object) -> None:
    """Run a function in a thread with all signals blocked, which Python does not join.

    A signal to the worker interrupts any thread that does not block it.

    Raises:
        RuntimeError: no more threads can be started.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        start_new_thread(function, arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_or_end(function: Callable[..., None], *arguments: object) -> None:
    """Start a thread that a worker cannot be without.

    If it cannot be started, the worker ends, and uWSGI's master starts it again.
    """
    try:
        start(function, *arguments)
    except RuntimeError as error:
        log.write(
            f"A worker (pid {os.getpid()}) ends and is started again: {error}. Threads are limited"
            " by pids_limit (Compose) or TasksMax= (systemd), and by memory.\n"
        )
        os._exit(1)
