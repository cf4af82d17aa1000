"""Going live: pointing ``live.sock``, which nginx asks, at an instance of uWSGI.

uWSGI runs this as ``python -m deploy promote`` once its workers accept (see "The socket" in
``uwsgi.ini``). So it is the same in a container, on this machine and under systemd, and whoever
starts an instance only has to wait until the link leads to it.
"""

import contextlib
import os
import shutil
import socket
import time
from pathlib import Path

from deploy import health

# Seconds between two attempts of an instance that does not answer well yet.
_PAUSE = 0.25
# Seconds after which a socket that nobody listens on is a leftover, and not one just being made.
_LEFTOVER = 60


def promote(sockets: Path, instance: str) -> bool:
    """Make an instance the live one: at once if none is live, else when it answers well.

    Answering badly is better than not answering; but while another instance answers, one whose
    first page is an error does not take its place.

    Args:
        sockets: the directory with the sockets of all instances.
        instance: whose turn it is.

    Returns:
        Whether it is live. If it stopped before it answered well, it is not.
    """
    own = sockets / f"{instance}.sock"
    while listens(own):
        if not listens(sockets / "live.sock") or not health.problem(own):
            link = sockets / f"{instance}.link"
            link.unlink(missing_ok=True)
            link.symlink_to(own.name)
            link.replace(sockets / "live.sock")  # atomic: no request ever finds it missing
            _remove_leftovers(sockets)
            return True
        time.sleep(_PAUSE)
    return False


def step_in(sockets: Path, instance: str) -> None:
    """Go live where nothing is, since the live instance was removed without a rollout.

    Each container asks for this with its healthcheck.
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
    """Whether somebody listens on a unix socket, however busy."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full
        except OSError:
            return False
        return True


def _remove_leftovers(sockets: Path) -> None:
    """Remove what instances that have ended did not remove themselves."""
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
