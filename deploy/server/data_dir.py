"""DATA_DIR, the directory of persistent data."""

import os
import shutil
from collections.abc import Iterator

from deploy.problems import Finding, Refusal
from deploy.settings import places
from deploy.settings.knobs import Knobs

# Free bytes below which `check` warns.
_LEAST_ROOM = 100 * 1024**2


def look(knobs: Knobs) -> Iterator[Finding]:
    """Whether DATA_DIR can be written to, and has free space."""
    path = knobs.data_dir
    there = next(near for near in (path, *path.parents) if near.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield Finding(
            "E080" if _is_set(knobs) else "E081",
            f"DATA_DIR is {str(path)!r}, which cannot be written ({there} is no directory"
            f" that user {os.geteuid()} can write to); give it to that user with chown, or mount a"
            " volume there.",
        )
    elif (free := shutil.disk_usage(there).free) < _LEAST_ROOM:
        yield Finding(
            "W082",
            f"DATA_DIR is {str(path)!r}, where {free // 1024**2} MB are free, and an app"
            " that cannot write fails; free space, or move DATA_DIR to another disk.",
        )


def make(knobs: Knobs) -> None:
    """Create DATA_DIR.

    Raises:
        Refusal: this user cannot write to it.
    """
    for found in look(knobs):
        if found.blocking:
            raise Refusal(found.message)
    path = knobs.data_dir
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as problem:
        if _is_set(knobs):
            raise Refusal(
                f"DATA_DIR is {str(path)!r}, which cannot be made ({problem.strerror});"
                " name another directory."
            ) from None


def _is_set(knobs: Knobs) -> bool:
    # Or a volume. An app without data needs no directory.
    return knobs.data_dir != places.instance(knobs.app_dir) or knobs.data_dir.is_mount()
