"""RUN_DIR: its lock, its permissions, and free space there."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding, Refusal
from deploy.settings.knobs import PROJECT, Knobs

# Directories in RUN_DIR that each start empties.
_EMPTIED = ("sockets", "static", "metrics")


@contextlib.contextmanager
def own(run_dir: Path) -> Iterator[None]:
    """Prepare and lock ``run_dir`` for the block.

    Raises:
        Refusal: it is locked, contains directories of other programs, or cannot be written to.
    """
    try:
        refuse_shared(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        refuse_shared(run_dir)  # it may have been made meanwhile
        refuse_foreign(run_dir)
        lock = (run_dir / "lock").open("w")
    except OSError as error:
        raise Refusal(unwritable(run_dir, error.strerror)) from None
    with lock:
        # `exec` keeps the lock.
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where another one is being served;"
                " stop that, or give this one a RUN_DIR and an HTTP_PORT of its own."
            ) from None
        # Leftovers of a killed server: this process has the lock.
        for name in _EMPTIED:
            shutil.rmtree(run_dir / name, ignore_errors=True)
        # Write access to a socket is code execution: 0750, for this user and its group.
        (run_dir / "sockets").mkdir(mode=0o750)
        (run_dir / "static").mkdir()
        try:
            yield
        finally:
            # No process listens on them.
            shutil.rmtree(run_dir / "sockets", ignore_errors=True)
            (run_dir / "control").unlink(missing_ok=True)


def unwritable(run_dir: Path, reason: str) -> str:
    """The error for a RUN_DIR that this user cannot write to."""
    return (
        f"RUN_DIR is {str(run_dir)!r}, which cannot be written ({reason}); set a directory of your"
        " own."
    )


def refuse_foreign(run_dir: Path) -> None:
    """Reject a RUN_DIR such as /etc, whose ``nginx`` must not be emptied.

    Raises:
        Refusal: it contains directories that no `serve` has created.
    """
    for name in ("nginx", *_EMPTIED):
        if (run_dir / name).exists() and not (run_dir / "lock").exists():
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, which contains a {name!r} of another program;"
                " set a directory that can be emptied."
            )


def refuse_shared(run_dir: Path) -> None:
    """Reject a RUN_DIR that other users may have prepared, with a lock, links or sockets.

    Raises:
        Refusal: another user can own RUN_DIR, or a directory or link in its path.
    """
    # The owner of the checkout can change the code as well.
    trusted = {0, os.geteuid(), PROJECT.stat().st_uid}
    for path in {run_dir, run_dir.resolve()}:
        for entry in (path, *path.parents):
            if not entry.exists() and not entry.is_symlink():
                continue
            squattable = entry == path or entry.parent.stat().st_mode & stat.S_IWOTH
            if squattable and (owner := entry.lstat().st_uid) not in trusted:
                raise Refusal(
                    f"RUN_DIR is {str(run_dir)!r}, and {entry} belongs to user {owner}, who could"
                    " put files of theirs there; remove it, or name a directory of your own."
                )
        if path.is_dir() and path.stat().st_mode & stat.S_IWOTH:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where every user of this machine can put files (mode"
                f" {stat.S_IMODE(path.stat().st_mode):04o}); name a directory of your own, such as"
                f" {str(run_dir / 'site')!r}."
            )


def refuse_open_sockets(directory: Path) -> None:
    """Reject a directory of sockets with access for others than this user and its group.

    Write access to a socket is code execution as the app.

    Args:
        directory: where the sockets are, or will be.

    Raises:
        Refusal: it belongs to another user, or has access for others.
    """
    try:
        found = directory.lstat()
    except OSError as error:
        raise Refusal(
            f"{directory}, where the sockets belong, cannot be used ({error.strerror}); mount a"
            " volume there that this user may write to."
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise Refusal(f"{directory}, where the sockets belong, is no directory; remove it.")
    if found.st_uid not in {0, os.geteuid()}:
        raise Refusal(
            f"{directory} belongs to user {found.st_uid}, who could put another app there; give it"
            f" to user {os.geteuid()} (chown, or uid= where it is mounted)."
        )
    if found.st_mode & stat.S_IRWXO:
        raise Refusal(
            f"{directory} has mode {stat.S_IMODE(found.st_mode):04o}, and write access to a socket"
            " in it is code execution; close it to others (chmod 2750, or mode=2750 where it is"
            " mounted)."
        )


def look(knobs: Knobs) -> Iterator[Finding]:
    """Whether `serve` can use RUN_DIR, and no other user can replace it."""
    there = _nearest(knobs.run_dir)
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "E070",
            unwritable(knobs.run_dir, f"{there} is no directory this user can write to"),
        )
    refuse_shared(knobs.run_dir)
    refuse_foreign(knobs.run_dir)
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
        refuse_open_sockets(directory)
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
