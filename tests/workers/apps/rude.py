"""An app that changes, while it is loaded, all that a process can change about itself."""

import os
import resource
import signal
import sys

count = os.environ["COUNT"]  # the tests' own
os.environ.clear()
os.environ |= {"REQUEST_TIMEOUT": "an hour", "WORKER_MEMORY": "all", "SOCKETS": "/", "MOUNTS": ""}
os.environ["COUNT"] = count
os.chdir("/")
os.umask(0o777)
sys.stdin = sys.stdout = sys.stderr = None
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

from lab import app  # noqa: E402, F401
