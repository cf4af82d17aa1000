"""What a check has to say."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether it is wrong, or only unwise."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or unwise.

    Args:
        severity: which of the two.
        sentence: names the thing, its value and the mend.
        bars: whether an error keeps `serve` and `rollout` from starting anything. Not one that
            harms no more for being served, and that perhaps only a site that is up can mend.
    """

    severity: Severity
    sentence: str
    bars: bool = True


class UnseenError(Exception):
    """What a check looks at cannot be seen on this machine; in a few words, why."""


def error(sentence: str, *, bars: bool = True) -> Finding:
    """Something that is wrong."""
    return Finding(Severity.ERROR, sentence, bars)


def warning(sentence: str) -> Finding:
    """Something that is unwise."""
    return Finding(Severity.WARNING, sentence, bars=False)
