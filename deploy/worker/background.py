"""What the app does in the background: as in any Python program, a worker's end waits for it.

uWSGI ends a worker with Python's own end, which waits for threads that are not daemons and calls
what is registered with ``atexit``. A worker with a stuck request cannot end in this way.
"""

import atexit
import contextlib
import os
import threading

# Python takes a thread that it has not started, as uWSGI's are, for a daemon, and each thread that
# a request starts would inherit that.
threading._DummyThread.daemon = property(lambda _: False)


def _become_main_thread() -> None:
    """Let a forked child end like any other: without it, it fails and has exit status 1.

    The thread that forks is the child's main thread. Before 3.13, CPython cannot end
    that if it has not started it, which holds for uWSGI's.
    """
    thread = threading.main_thread()
    if isinstance(thread, threading._DummyThread):
        thread.__class__ = threading._MainThread
        thread._daemonic = False
        thread._set_tstate_lock()


os.register_at_fork(after_in_child=_become_main_thread)


def wait() -> bool:
    """Wait for all threads that the app has started, but for daemons; whether there were any.

    After the first call, the executors of ``concurrent.futures`` take nothing new.
    """
    with contextlib.suppress(Exception):
        # Lets their threads end, which wait for work otherwise.
        for call in reversed(threading._threading_atexits):
            call()
    # Not the main thread and those of requests.
    own = threading._MainThread, threading._DummyThread
    found = [t for t in threading.enumerate() if not (t.daemon or isinstance(t, own))]
    for thread in found:
        thread.join()
    return bool(found)


def finish() -> None:
    """Wait for all threads, and call what is registered for the end, in Python's own order."""
    while wait():
        pass
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
