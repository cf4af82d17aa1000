"""Permissions of files with secrets."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding

_SECRET = re.compile(
    r"""^\s*(?:export\s+)?(?:
        (?!TLS_KEY\b)\w*(?:KEY|PASSWORD|_PIN|SECRET|TOKEN)\s*=\s*["']?[^\s"'\#]  # SECRET_KEY=...
        | \w+\s*=.*://[^/\s]*:[^/\s]*@                              # DATABASE_URL=...://me:secret@
    )""",
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)


def look(files: dict[str, Path]) -> Iterator[Finding]:
    """Whether other users can read one of these files.

    Args:
        files: by the setting that names it.
    """
    for name, path in files.items():
        if path.is_file() and _is_world_readable(path):
            yield Finding(
                "W060",
                f"{name} is {str(path)!r}, which every user of this machine can read; keep it in a"
                f" private directory, as with: chmod 700 {path.parent}",
            )


def look_into_env(path: Path) -> Iterator[Finding]:
    """The same for ``.env``, if it contains secrets."""
    if path.is_file() and _is_world_readable(path) and _SECRET.search(path.read_text()):
        yield Finding(
            "W061",
            f"{path} has a secret in it, and every user of this machine can read it;"
            f" type: chmod 600 {path}",
        )


def _is_world_readable(path: Path) -> bool:
    real = path.resolve()
    enter = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return enter and bool(real.stat().st_mode & stat.S_IROTH)
