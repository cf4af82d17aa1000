"""systemd, if it started this process."""

import os
import socket
import stat
import subprocess

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


def notify(message: str) -> None:
    """Send a notification; see sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            # "@" is the NUL of an abstract address.
            manager.sendto(message.encode(), address.replace("@", "\0", 1))


def make_output_openable() -> None:
    """Allow programs to open /dev/stdout and /dev/stderr, as nginx does for its logs.

    systemd's are sockets, which cannot be opened (ENXIO). A pipe can; ``cat`` copies it to the
    socket, and exits when the last writer closes the pipe.
    """
    if stat.S_ISSOCK(os.fstat(_STANDARD_OUTPUT).st_mode):
        journal = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)
        for output in (_STANDARD_OUTPUT, _STANDARD_ERROR):
            os.dup2(journal.stdin.fileno(), output)
