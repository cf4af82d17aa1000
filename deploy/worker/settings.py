"""Settings of this worker, read before any code of the app runs.

An app may change or clear its environment while it is loaded. ``uwsgi.ini`` imports this package
before the apps, when uWSGI has opened its sockets.
"""

import os
import socket
from pathlib import Path

import uwsgi

from deploy.settings import environment

# The app imports its own modules, not this bundle's.
environment.hide_bundle()
REQUEST_TIMEOUT = int(os.environ["REQUEST_TIMEOUT"])
DRAIN_DELAY = int(os.environ["DRAIN_DELAY"])
START_TIMEOUT = int(os.environ["START_TIMEOUT"])
THREADS = int(os.environ["THREADS"])
# 0: no limit.
WORKER_LIFETIME = int(os.environ["WORKER_LIFETIME"] or 0)
WORKER_MEMORY = int(os.environ["WORKER_MEMORY"] or 0)
# Prefork: whether this is the master before the fork, so that workers have the apps from the start.
LOADED_ONCE = not uwsgi.worker_id()
DEBUGGER = bool(os.environ.get("UWSGI_DEBUG"))
DATA_DIR = os.environ["DATA_DIR"]
JSON = os.environ["LOG_FORMAT"] == "json"
ENVIRONMENT = os.environ["ENVIRONMENT"]
_RELEASE = Path(__file__).parents[1] / ".release"
# A digest of the source in an image (Dockerfile); None elsewhere.
RELEASE = _RELEASE.read_text().strip() if _RELEASE.exists() else None
TMPDIR = os.environ.get("TMPDIR", "/tmp")


def _name(fd: int) -> str | tuple:
    with socket.socket(fileno=os.dup(fd)) as listening:
        return listening.getsockname()


# Listening sockets, by descriptor.
LISTENING = {fd: _name(fd) for fd in uwsgi.sockets}
# The unix sockets of this instance; `make local` also has a TCP port.
PATHS = [Path(name) for name in LISTENING.values() if isinstance(name, str)]
SOCKETS = PATHS[0].parent
