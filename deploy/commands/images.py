"""Contents of the images: the allow list in .dockerignore, compared with Git's files."""

import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding, NotCheckedError


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
    patterns = read(project / ".dockerignore")
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


def read(file: Path) -> list[str]:
    """The patterns in a .dockerignore."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def gets_in(name: str, patterns: list[str]) -> bool:
    """Whether a file is in the build context.

    Args:
        name: its path.
        patterns: those of .dockerignore.
    """
    return not _decided_by(name, patterns) or _decided_by(name, patterns).startswith("!")


def _is_forgotten(name: str, patterns: list[str]) -> bool:
    if gets_in(name, patterns) or any(part.startswith(".") for part in Path(name).parts):
        return False
    meant = (pattern for pattern in patterns if not pattern.startswith(("!", "**")))
    return not any(_regex(pattern).fullmatch(name) for pattern in meant)


def _decided_by(name: str, patterns: list[str]) -> str:
    """The last pattern that matches, by BuildKit's algorithm.

    A pattern that matches a parent directory matches the file, too. Patterns that would not change
    the decision of the previous ones are skipped.
    """
    *parents, _ = Path(name).parents
    matched: set[int] = set()
    for path in (*map(str, reversed(parents)), name):
        decided, out = "", False
        for number, pattern in enumerate(patterns):
            keeps = pattern.startswith("!")
            if number not in matched:
                if keeps != out or not _regex(pattern.strip("!/")).fullmatch(path):
                    continue
                matched.add(number)
            decided, out = pattern, not keeps
    return decided


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    """As Docker reads it: https://pkg.go.dev/github.com/moby/patternmatcher."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(known.get(p, p if p.startswith("[") else re.escape(p)) for p in parts)
    )
