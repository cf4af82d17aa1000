"""A worker whose interpreter is held logs a stack trace and exits; uWSGI respawns it.

A request can hold Python's global interpreter lock, in a C extension or a regular expression with
catastrophic backtracking. No thread can run then. A timer of the kernel needs no interpreter, and
``faulthandler`` writes stack traces without it. Its ``dump_traceback_later()`` is left to the app:
each call replaces the previous one.
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
        # Fails at the kernel's limit for all processes of a user.
        self._made = not _libc.timer_create(
            _MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)
        )
        # To this thread, since others may block it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {_SIGNAL})

    def handle(self) -> None:
        """Set the handler, which writes stack traces; an app may have ignored all signals."""
        faulthandler.unregister(_SIGNAL)
        _libc.signal(_SIGNAL, None)
        # chain: after the stack trace, the signal's default action ends the process.
        faulthandler.register(_SIGNAL, 2, all_threads=True, chain=True)

    def renew(self, seconds: int) -> None:
        """Restart the timer."""
        if self._made:
            setting = _Setting(value=(seconds, 0))
            _libc.timer_settime(self._timer, 0, ctypes.byref(setting), None)
