"""Healthcheck of the app's container: requests through its socket, with the uwsgi protocol.

It does not depend on nginx.
"""

import os
import socket
import struct
import sys
from pathlib import Path

from deploy.settings import mounts


def check() -> int:
    """Request the root of each mount; print a problem to standard error.

    Returns:
        The exit status: 0 if all statuses are below 500, else 1.
    """
    path = Path(os.environ["RUN_DIR"], "sockets", f"{socket.gethostname()}.health")
    if found := problem(path):
        print(found, file=sys.stderr)
        return 1
    return 0


def check_master() -> int:
    """Liveness: whether uWSGI's master sends its stats; print a problem to standard error.

    It also does while all threads are busy or stuck. Stuck workers are replaced by
    ``deploy/worker/guard.py``.

    Returns:
        The exit status: 0 if it does, else 1.
    """
    path = Path(os.environ["RUN_DIR"], "sockets", f"{socket.gethostname()}.stats")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            if connection.recv(1):
                return 0
            reason = "closed"
    except OSError as error:
        reason = str(error)
    print(f"uWSGI's master: no response ({reason})", file=sys.stderr)
    return 1


def problem(path: Path) -> str:
    """The problem of the instance behind a unix socket; empty if it is healthy."""
    for mount in mounts.parse(os.environ["MOUNTS"]):
        try:
            status = ask(path, f"{mount.prefix}/")
        except (OSError, ValueError, IndexError) as error:
            return f"{mount.path}: no response ({error})"
        if status >= 500:
            return f"{mount.path}: the app responds with {status}"
    return ""


def ask(path: Path, url: str, timeout: float = 5) -> int:
    """Request a URL from a uWSGI socket.

    Args:
        path: the unix socket.
        url: the path, with its mount.
        timeout: seconds for each read and write.

    Returns:
        The HTTP status.
    """
    names = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": url,
        "PATH_INFO": url,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "healthcheck",
        "REMOTE_ADDR": "127.0.0.1",
    }
    # The protocol: each text with its length in two bytes before it, all of it behind a header of
    # four bytes (https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html).
    texts = [text.encode() for pair in names.items() for text in pair]
    body = b"".join(struct.pack("<H", len(text)) + text for text in texts)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
        return int(connection.makefile("rb").readline().split()[1])
