"""Contents of the images: the allow list in .dockerignore, compared with Git's files."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding, NotCheckedError
from deploy.settings import dockerignore


def look(project: Path) -> Iterator[Finding]:
    """Git's files that are not in the images because no line allows or excludes them.

    Raises:
        NotCheckedError: the project is no Git checkout, or Git is not installed.
    """
    command = ["git", "-C", str(project), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        raise NotCheckedError("git ls-files fails") from None
    patterns = dockerignore.read(project / ".dockerignore")
    out = [name for name in listed.split("\0") if name and _is_forgotten(name, patterns)]
    if out:
        example = f"*{Path(out[0]).suffix}" if Path(out[0]).suffix else Path(out[0]).name
        line = str(Path(out[0]).parent / example)
        more = f" and {len(out) - 1} more" if len(out) > 1 else ""
        yield Finding(
            "W030",
            f"{out[0]}{more} of Git's files are not in the images; if the app reads them, add a"
            f" line such as !{line} to .dockerignore, else the line {line}.",
        )


def _is_forgotten(name: str, patterns: list[str]) -> bool:
    hidden = any(part.startswith(".") for part in Path(name).parts)
    if hidden or dockerignore.gets_in(name, patterns):
        return False
    meant = (pattern for pattern in patterns if not pattern.startswith(("!", "**")))
    return not any(dockerignore.regex(pattern).fullmatch(name) for pattern in meant)
