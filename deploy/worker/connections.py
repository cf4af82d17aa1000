"""The sockets that this worker accepts connections from."""

import os
import select
import socket
import stat

from deploy.worker.settings import LISTENING


def listening() -> bool:
    """Whether uWSGI's sockets are still open; an app can close them with ``os.closerange()``."""
    return all(_name(fd) == name for fd, name in LISTENING.items())


def backlog() -> bool:
    """Whether a connection waits to be accepted."""
    sockets = select.poll()
    for fd in LISTENING:
        sockets.register(fd, select.POLLIN)
    return any(event & select.POLLIN for _, event in sockets.poll(0))


def _name(fd: int) -> object:
    """The local name of a socket; None if the descriptor is not one, or was closed."""
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        found = socket.socket(fileno=fd)  # no duplicate: none may be left
        try:
            return found.getsockname()
        finally:
            found.detach()
    except OSError:
        return None
