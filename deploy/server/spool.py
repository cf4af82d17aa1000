"""TMPDIR in a container: a directory on disk for each instance, empty at its start.

The volume outlives containers, and all of them can write to it. Files of an earlier one would fill
the disk, and are not trusted.
"""

import fcntl
import os
import shutil
from pathlib import Path

from deploy.server import promotion


def own(run_dir: Path, instance: str) -> Path | None:
    """Create the directory of this instance, and remove those of instances that have exited.

    Args:
        run_dir: RUN_DIR.
        instance: the name of this one.

    Returns:
        The directory; None if the container has no volume for it.
    """
    root = run_dir / "tmp"
    if not root.is_dir():
        return None
    with _Lock(root):
        for path in root.iterdir():
            if not path.is_dir() or path.is_symlink():
                path.unlink()
            elif not _is_in_use(path, run_dir):
                shutil.rmtree(path, ignore_errors=True)
        path = root / instance
        path.mkdir(mode=0o700, exist_ok=True)
        # Held for as long as this process and what takes its place.
        os.set_inheritable(_Lock(path).descriptor, True)
    return path


class _Lock:
    """A lock on a directory."""

    def __init__(self, directory: Path, flags: int = 0) -> None:
        self.descriptor = os.open(directory, os.O_RDONLY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | flags)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _is_in_use(directory: Path, run_dir: Path) -> bool:
    try:
        with _Lock(directory, fcntl.LOCK_NB):
            # A uWSGI that was reloaded no longer has the lock.
            return promotion.listens(run_dir / "sockets" / f"{directory.name}.sock")
    except BlockingIOError:
        return True
    except OSError:
        return False
