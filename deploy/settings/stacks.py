"""Stack traces of a worker on request: what workers and ``status --stacks`` agree on."""

import signal

# The fourth signal that is free for applications: uwsgi.ini, guard.py and held.py have the others.
SIGNAL = signal.SIGRTMIN + 3
# The name of the memory that a worker writes them to (memfd_create(2)).
MEMORY = "stacks"
