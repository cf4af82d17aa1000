"""A worker whose interpreter is held: it logs a stack trace and ends, and uWSGI starts another.

A request can keep Python's global interpreter lock: in a C extension's loop, or a regular
expression with catastrophic backtracking. Then no thread can watch it. A timer of the kernel needs
no interpreter, and ``faulthandler`` writes the stacks without it. (Its own
``dump_traceback_later()`` belongs to the app: each call replaces the one before.)
"""

import ctypes
import faulthandler
import signal

# The second signal that is free for applications; uwsgi.ini has the first.
_SIGNAL = signal.SIGRTMIN + 1
_MONOTONIC = 1  # CLOCK_MONOTONIC
# Seconds after REQUEST_TIMEOUT.
GRACE = 5

_libc = ctypes.CDLL(None)


class _Event(ctypes.Structure):
    """sigevent(3type): send a signal to the process."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("number", ctypes.c_int),
        ("how", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Setting(ctypes.Structure):
    """itimerspec(3type): two times in seconds and nanoseconds."""

    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


class Timer:
    """Ends this process, unless it is renewed in time, always by the same thread."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        event = _Event(number=_SIGNAL)
        # The kernel has a limit for all of a user's processes.
        self._made = not _libc.timer_create(
            _MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)
        )
        # To this thread, since others may block it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_SIGNAL})

    def handle(self) -> None:
        """Have the signal write stack traces; an app may have set all signals to be ignored."""
        faulthandler.unregister(_SIGNAL)
        _libc.signal(_SIGNAL, None)
        # With chain, what follows the stack trace is the signal's default action: the process ends.
        faulthandler.register(_SIGNAL, 2, all_threads=True, chain=True)

    def renew(self, seconds: int) -> None:
        """Begin to count anew."""
        if self._made:
            setting = _Setting(value=(seconds, 0))
            _libc.timer_settime(self._timer, 0, ctypes.byref(setting), None)
