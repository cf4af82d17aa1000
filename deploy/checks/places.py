"""The directories that the servers write to: permissions and free space."""

import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from deploy import serve, uwsgi
from deploy.checks.finding import Finding
from deploy.knobs import Knobs


def run_dir(knobs: Knobs) -> Iterator[Finding]:
    """Whether `serve` can use RUN_DIR, and no other user can replace it."""
    there = _nearest(knobs.run_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "E070",
            serve.unwritable(knobs.run_dir, f"{there} is no directory this user can write to"),
        )
    serve.refuse_shared(knobs.run_dir)
    serve.refuse_foreign(knobs.run_dir)
    for directory in (there, *there.parents):
        mode = directory.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield Finding(
                "E071",
                f"{directory} has mode {stat.S_IMODE(mode):04o}, so any user of this machine can"
                f" replace RUN_DIR {str(knobs.run_dir)!r}; type: chmod o-w {directory}",
            )


def sockets(knobs: Knobs) -> Iterator[Finding]:
    """The directory of the sockets, if it exists."""
    directory = knobs.run_dir / "sockets"
    if directory.exists():
        uwsgi.refuse_open_sockets(directory)
    yield from ()


def room(knobs: Knobs, *, with_nginx: bool) -> Iterator[Finding]:
    """Free space for the largest request body in each thread.

    nginx spools a body below RUN_DIR until it is complete, and uWSGI then copies it to TMPDIR.
    nginx can hold more bodies than there are threads, but rarely so many of the maximum size.

    Args:
        knobs: the settings.
        with_nginx: whether nginx uses this RUN_DIR, too.
    """
    directories = [next(filter(Path.is_dir, (knobs.run_dir / "tmp", Path(tempfile.gettempdir()))))]
    if with_nginx:
        directories.append(_nearest(knobs.run_dir / "spool"))
    on_one_disk = defaultdict(list)
    for directory in directories:
        on_one_disk[directory.stat().st_dev].append(directory)
    bodies = knobs.workers * int(knobs.environment["THREADS"])
    for together in on_one_disk.values():
        needed = bodies * knobs.max_body_size * len(together)
        if (free := shutil.disk_usage(together[0]).free) < needed:
            places = " and ".join(map(str, together))
            yield Finding(
                "W083",
                f"MAX_BODY_SIZE is {knobs.given['MAX_BODY_SIZE']!r}, and {bodies} bodies of it, one"
                f" for each thread, need {_gigabytes(needed)} in {places}, where"
                f" {_gigabytes(free)} are free; free space, or lower MAX_BODY_SIZE.",
            )


def _nearest(directory: Path) -> Path:
    """The directory itself, or its nearest parent that exists."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"
