"""What an app holds once it is loaded that forked workers would get wrong.

A connection is one for all of them: each reads what comes, so users get each other's answers. A
thread runs in none of them: fork() copies only the one that calls it.
"""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


def open_sockets() -> set[int]:
    """The file descriptors of this process that are sockets."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()}


def describe(before: set[int]) -> Iterator[str]:
    """Words for each connection, but for those in ``before``, and each running thread."""
    for fd in sorted(open_sockets() - before):
        if peer := _peer(fd):
            yield f"a connection to {peer} open, on which workers would get each other's answers"
    for thread in threads():
        yield f"a thread running ({thread}), which workers would not have"


def threads() -> Iterator[str]:
    """The names of the running threads but for the main one, with what they run."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            # A Timer has its function under another name, and a subclass may have its own run().
            target = getattr(thread, "_target", None) or getattr(thread, "function", type(thread))
            known = hasattr(target, "__qualname__") and target is not threading._DummyThread
            place = f", in {target.__module__}.{target.__qualname__}" if known else ""
            yield f"{thread.name}{place}"


def _peer(fd: int) -> str | None:
    """Whom a connection leads to. None for what is no connection that carries answers."""
    with socket.socket(fileno=os.dup(fd)) as connection:
        # Not datagrams, with which logs and metrics are sent off, and nothing comes back.
        if connection.type != socket.SOCK_STREAM:
            return None
        try:
            peer = connection.getpeername()
        except OSError:
            return None  # it listens, or is not connected
    if isinstance(peer, tuple):
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # Without a name it is one half of a pair, whose other half is in this process, too.
    return os.fsdecode(peer).replace("\0", "@") or None
