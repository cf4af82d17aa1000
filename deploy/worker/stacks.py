"""Stack traces of all threads on request, for ``status --stacks``.

``faulthandler`` writes them without the interpreter, even if a request holds it, and without
ptrace, which containers do not have.
"""

import faulthandler
import fcntl
import os
import signal

from deploy.settings import stacks


def handle() -> None:
    """Set the handler, and let this thread take the signal, since others may block it."""
    memory = os.memfd_create(stacks.MEMORY)
    fcntl.fcntl(memory, fcntl.F_SETFL, os.O_APPEND)  # the reader empties it
    faulthandler.register(stacks.SIGNAL, memory, all_threads=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {stacks.SIGNAL})
