"""Files with a secret in them, and who may read those."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from deploy.checks.finding import Finding, warning

_SECRET = re.compile(
    r"""^\s*(?:export\s+)?(?:
        (?!TLS_KEY\b)\w*(?:KEY|PASSWORD|_PIN|SECRET|TOKEN)\s*=\s*["']?[^\s"'\#]  # SECRET_KEY=...
        | \w+\s*=.*://[^/\s]*:[^/\s]*@                              # DATABASE_URL=...://me:secret@
    )""",
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)


def look(files: dict[str, Path]) -> Iterator[Finding]:
    """Whether strangers on this machine can read one of these files.

    Args:
        files: by the knob that names it.
    """
    for name, path in files.items():
        if path.is_file() and _everybody_reads(path):
            yield warning(
                f"{name} is {str(path)!r}, which every user of this machine can read; keep it in"
                f" a folder that only you may enter, as with: chmod 700 {path.parent}"
            )


def look_into_env(path: Path) -> Iterator[Finding]:
    """The same of ``.env``, if there are secrets in it."""
    if path.is_file() and _everybody_reads(path) and _SECRET.search(path.read_text()):
        yield warning(
            f"{path} has a secret in it, and every user of this machine can read it;"
            f" type: chmod 600 {path}"
        )


def _everybody_reads(path: Path) -> bool:
    real = path.resolve()
    enter = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return enter and bool(real.stat().st_mode & stat.S_IROTH)
