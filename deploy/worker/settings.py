"""The settings of this worker, as they were before any code of the app ran.

An app may change its environment while it is loaded, or clear it. ``uwsgi.ini`` imports this
package's modules before the apps, and uWSGI has opened its sockets by then.
"""

import os
import socket
from pathlib import Path

import uwsgi

REQUEST_TIMEOUT = int(os.environ["REQUEST_TIMEOUT"])
START_TIMEOUT = int(os.environ["START_TIMEOUT"])
THREADS = int(os.environ["THREADS"])
# 0: no limit.
WORKER_LIFETIME = int(os.environ["WORKER_LIFETIME"] or 0)
WORKER_MEMORY = int(os.environ["WORKER_MEMORY"] or 0)
# Whether this is the master, before it forks: workers then have the apps from their first moment.
LOADED_ONCE = not uwsgi.worker_id()
DEBUGGER = bool(os.environ.get("UWSGI_DEBUG"))


def _name(fd: int) -> str | tuple:
    with socket.socket(fileno=os.dup(fd)) as listening:
        return listening.getsockname()


# The sockets that requests come from, by descriptor.
LISTENING = {fd: _name(fd) for fd in uwsgi.sockets}
# Those of this instance alone; `make local` has a TCP port besides.
PATHS = [Path(name) for name in LISTENING.values() if isinstance(name, str)]
SOCKETS = PATHS[0].parent
