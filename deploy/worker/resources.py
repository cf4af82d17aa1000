"""Log full disks and the memory limit, with what to do.

Otherwise the log of a full disk has only the app's tracebacks, and that of the memory limit only
"killed by signal 9". ``uwsgi.ini`` loads this with ``import``; no request passes through it.
"""

import contextlib
import os
import re
import time
from pathlib import Path

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import log, settings, threads

# Seconds between two looks.
PAUSE = 1
# Free bytes below which a disk is full: a write that fails may leave some.
ROOM = 65_536


def start() -> None:
    """Start the thread, in the first worker."""
    if uwsgi.worker_id() == 1:
        threads.start_or_end(_watch)


def _watch() -> None:
    disks = {"DATA_DIR": settings.DATA_DIR, "TMPDIR": settings.TMPDIR}
    full: dict[str, str] = {}
    while True:
        for name, path in disks.items():
            with contextlib.suppress(OSError):
                lack = _lack(path)
                if lack and not full.get(name):
                    log.write(
                        f"{name} ({path}) has no {lack} left, and writing there fails: delete"
                        " files, or give it a larger disk.\n"
                    )
                elif full.get(name) and not lack:
                    log.write(f"{name} ({path}) has {full[name]} again.\n")
                full[name] = lack
        with contextlib.suppress(OSError):
            _tell_of_killed()
        time.sleep(PAUSE)


def _lack(path: str) -> str:
    """What the disk of this directory has none of."""
    disk = os.statvfs(path)
    if disk.f_bavail * disk.f_frsize < ROOM:
        return "space"
    # A file system may have no fixed number of them.
    return "inodes" if disk.f_files and not disk.f_favail else ""


def _tell_of_killed() -> None:
    """Log that the kernel has killed a process for memory since the last look.

    The count is in memory that workers share, since that process may have been the first worker.
    """
    killed, seen = _killed(), uwsgi.sharedarea_read64(0, 0) - 1
    if killed == seen:
        return
    uwsgi.sharedarea_write64(0, 0, killed + 1)
    if 0 <= seen < killed:
        log.write(
            "The memory limit is reached, and the kernel has killed a process (out of memory):"
            " raise APP_MEMORY (Compose) or MemoryMax= (systemd), lower WORKERS, or set"
            " WORKER_MEMORY for an app that leaks.\n"
        )


def _killed() -> int:
    """How many processes of this container or service the kernel has killed for memory."""
    # cgroup v2 or v1. A container may see its own cgroup at the top.
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, group = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        top = Path("/sys/fs/cgroup", "memory" if kinds else "")
        for directory in (top / group.lstrip("/"), top):
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    if found := re.search(r"^oom_kill (\d+)", (directory / name).read_text(), re.M):
                        return int(found[1])
    return 0


if uwsgi.worker_id():
    start()  # loaded by each worker for itself
else:
    postfork(start)
