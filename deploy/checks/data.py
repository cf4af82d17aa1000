"""DATA_DIR, where the app keeps what has to last."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from deploy.checks.finding import Finding, error, warning
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal

# Bytes that it has free while `check` is silent.
_LEAST_ROOM = 100 * 1024**2


def look(knobs: Knobs) -> Iterator[Finding]:
    """DATA_DIR, where the app keeps what has to last. It bars only as a setting or volume."""
    path = knobs.data_dir
    there = next(near for near in (path, *path.parents) if near.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield error(
            f"DATA_DIR is {str(path)!r}, which cannot be written ({there} is no directory"
            f" that user {os.geteuid()} can write to); give it to that user with chown, or mount a"
            " volume there.",
            bars=_wanted(path),
        )
    elif (free := shutil.disk_usage(there).free) < _LEAST_ROOM:
        yield warning(
            f"DATA_DIR is {str(path)!r}, where {free // 1024**2} MB are free, and an app"
            " that cannot write fails; make room, or move DATA_DIR to another disk."
        )


def make(knobs: Knobs) -> None:
    """Make DATA_DIR, so that every app finds it.

    Raises:
        Refusal: this user cannot write to it.
    """
    for found in look(knobs):
        if found.bars:
            raise Refusal(found.sentence)
    path = knobs.data_dir
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as problem:
        if _wanted(path):
            raise Refusal(
                f"DATA_DIR is {str(path)!r}, which cannot be made ({problem.strerror});"
                " name another directory."
            ) from None


def _wanted(data_dir: Path) -> bool:
    return data_dir != PROJECT / "instance" or data_dir.is_mount()
