"""Resources of a loaded app that are not fork-safe.

A connection is shared by all workers: each reads what arrives, so requests get each other's
responses. Threads do not run in workers: fork() copies only the thread that calls it.
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
    """A description of each connection that is not in ``before``, and of each running thread."""
    for fd in sorted(open_sockets() - before):
        if peer := _peer(fd):
            yield f"a connection to {peer} open, on which workers would get each other's responses"
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
    """The peer of a connection. None for a socket without responses."""
    with socket.socket(fileno=os.dup(fd)) as connection:
        # Not datagrams, which logs and metrics use: nothing comes back.
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
