"""Promotion: link ``live.sock``, nginx's upstream, to the socket of an instance of uWSGI.

``live.health`` is the same for its socket of healthchecks.

uWSGI runs ``python -m deploy promote`` once its workers accept (see "The socket" in ``uwsgi.ini``),
in a container, on this machine and under systemd. A rollout only waits for the link.
"""

import contextlib
import os
import shutil
import socket
import time
from pathlib import Path

from deploy.server import health

# Seconds between two healthchecks.
_POLL_INTERVAL = 0.25
# Seconds after which a socket without a listener is a leftover, and not one that is being created.
_LEFTOVER = 60


def promote(sockets: Path, instance: str) -> bool:
    """Make an instance live.

    If nothing is live, go live at once. Otherwise wait for the healthcheck to pass.

    Args:
        sockets: the directory with the sockets of all instances.
        instance: the name of the instance.

    Returns:
        Whether it is live. It is not if it stopped before it was healthy.
    """
    own = sockets / f"{instance}.sock"
    while listens(own):
        if not listens(sockets / "live.sock") or not health.problem(own):
            for kind in ("health", "sock"):
                link = sockets / f"{instance}.link"
                link.unlink(missing_ok=True)
                link.symlink_to(f"{instance}.{kind}")
                link.replace(sockets / f"live.{kind}")  # atomic: it always exists
            _remove_leftovers(sockets)
            return True
        time.sleep(_POLL_INTERVAL)
    return False


def is_next(sockets: Path, instance: str) -> bool:
    """Whether an instance is newer than the live one, and about to take its place.

    Swarm stops the old container as soon as the new one is healthy, so it is not before it is live.
    """
    try:
        live = (sockets / "live.sock").stat()
        own = (sockets / f"{instance}.sock").stat()
    except OSError:
        return False
    return own.st_mtime_ns > live.st_mtime_ns


def step_in(sockets: Path, instance: str) -> None:
    """Go live if nothing is, because the live instance was removed without a rollout.

    Part of each container's healthcheck.
    """
    if listens(sockets / f"{instance}.sock") and not listens(sockets / "live.sock"):
        promote(sockets, instance)


def live_instance(sockets: Path) -> str:
    """The name of the instance that ``live.sock`` leads to; empty if there is no such link."""
    try:
        return (sockets / "live.sock").readlink().stem
    except OSError:
        return ""


def listens(path: Path) -> bool:
    """Whether a process listens on a unix socket, even with a full backlog."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full
        except OSError:
            return False
        return True


def _remove_leftovers(sockets: Path) -> None:
    """Remove sockets of instances that have exited."""
    for path in (p for kind in ("sock", "health", "stats") for p in sockets.glob(f"*.{kind}")):
        with contextlib.suppress(OSError):
            old = time.time() - path.lstat().st_mtime > _LEFTOVER
            if old and not path.is_symlink() and not listens(path):
                path.unlink()
    for path in sockets.glob("*.debug"):
        old = time.time() - path.lstat().st_mtime > _LEFTOVER
        if old and not listens(path.with_suffix(".sock")):
            shutil.rmtree(path, ignore_errors=True)


def here() -> tuple[Path, str]:
    """The directory and the instance of this process, or of this container."""
    instance = os.environ.get("INSTANCE") or socket.gethostname()
    return Path(os.environ["RUN_DIR"], "sockets"), instance
