"""Background work of the app: a worker waits for it before it exits, like any Python program.

uWSGI finalizes Python in a worker, which joins non-daemon threads and calls ``atexit`` handlers. A
worker with a stuck request does so here.
"""

import atexit
import contextlib
import os
import threading

# Threads that Python has not started, such as uWSGI's, are daemons, and threads that a request
# starts would inherit that.
threading._DummyThread.daemon = property(lambda _: False)


def _become_main_thread() -> None:
    """Allow a forked child to exit normally; without this it fails with exit status 1.

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
    """Join all non-daemon threads of the app; whether there were any.

    After the first call, the executors of ``concurrent.futures`` accept no work.
    """
    with contextlib.suppress(Exception):
        # Ends their threads, which wait for work otherwise.
        for call in reversed(threading._threading_atexits):
            call()
    # Not the main thread and those of requests.
    own = threading._MainThread, threading._DummyThread
    found = [t for t in threading.enumerate() if not (t.daemon or isinstance(t, own))]
    for thread in found:
        thread.join()
    return bool(found)


def finish() -> None:
    """Join all threads and call the ``atexit`` handlers, in Python's own order."""
    while wait():
        pass
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
