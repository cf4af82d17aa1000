"""systemd, if it started this process."""

import os
import socket


def notify(message: str) -> None:
    """Send a notification; see sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            # "@" is the NUL of an abstract address.
            manager.sendto(message.encode(), address.replace("@", "\0", 1))
