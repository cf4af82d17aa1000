"""The folders that the servers write to: who else may, and whether there is room."""

import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from deploy import serve, uwsgi
from deploy.checks.finding import Finding, error, warning
from deploy.knobs import Knobs


def run_dir(knobs: Knobs) -> Iterator[Finding]:
    """RUN_DIR, as `serve` is going to use it or is using it."""
    there = _nearest(knobs.run_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        yield error(
            serve.unwritable(knobs.run_dir, f"{there} is no folder that this user can write to")
        )
    serve.refuse_shared(knobs.run_dir)
    serve.refuse_foreign(knobs.run_dir)
    for folder in (there, *there.parents):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield error(
                f"{folder} has mode {stat.S_IMODE(mode):04o}, so every user of this machine can put"
                f" an app of theirs in the place of RUN_DIR {str(knobs.run_dir)!r};"
                f" type: chmod o-w {folder}"
            )


def sockets(knobs: Knobs) -> Iterator[Finding]:
    """The folder of the sockets, if they are there."""
    directory = knobs.run_dir / "sockets"
    if directory.exists():
        uwsgi.refuse_open_sockets(directory)
    yield from ()


def room(knobs: Knobs, *, with_nginx: bool) -> Iterator[Finding]:
    """Room for bodies, as many as may be with the apps at once: one for each thread.

    nginx keeps a body below RUN_DIR until all of it is there, and uWSGI then copies it to TMPDIR.
    More can be on their way than are with the apps, but hardly ever all of them of that size.

    Args:
        knobs: the knobs.
        with_nginx: whether nginx is served from this RUN_DIR, too.
    """
    folders = [next(filter(Path.is_dir, (knobs.run_dir / "tmp", Path(tempfile.gettempdir()))))]
    if with_nginx:
        folders.append(_nearest(knobs.run_dir / "spool"))
    on_one_disk = defaultdict(list)
    for folder in folders:
        on_one_disk[folder.stat().st_dev].append(folder)
    bodies = knobs.workers * int(knobs.environment["THREADS"])
    for together in on_one_disk.values():
        needed = bodies * knobs.max_body_size * len(together)
        if (free := shutil.disk_usage(together[0]).free) < needed:
            places = " and ".join(map(str, together))
            yield warning(
                f"MAX_BODY_SIZE is {knobs.given['MAX_BODY_SIZE']!r}, and {bodies} bodies of it, one"
                f" for each thread, need {_gigabytes(needed)} in {places}, where"
                f" {_gigabytes(free)} are free; make room, or lower MAX_BODY_SIZE."
            )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the one above it that there is."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"
