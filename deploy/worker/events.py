"""Events for the exporter of metrics, if one runs."""

import contextlib
import socket

from deploy.worker import settings


def send(reason: str) -> None:
    """Tell why a worker is replaced. It does not wait."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as exporter:
        exporter.setblocking(False)
        exporter.sendto(reason.encode(), str(settings.SOCKETS / "events"))
