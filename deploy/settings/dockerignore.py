"""Patterns of .dockerignore, matched as BuildKit does."""

import functools
import re
from pathlib import Path


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
    return not decided_by(name, patterns) or decided_by(name, patterns).startswith("!")


def decided_by(name: str, patterns: list[str]) -> str:
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
                if keeps != out or not regex(pattern.strip("!/")).fullmatch(path):
                    continue
                matched.add(number)
            decided, out = pattern, not keeps
    return decided


@functools.cache
def regex(pattern: str) -> re.Pattern[str]:
    """A pattern as Docker reads it: https://pkg.go.dev/github.com/moby/patternmatcher."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(known.get(p, p if p.startswith("[") else re.escape(p)) for p in parts)
    )
