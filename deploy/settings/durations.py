"""Durations in the syntax of nginx and Compose."""

import re

_SECONDS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> float:
    """Seconds of a duration such as 90, 90s or 1m30s."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([a-z]*)", text))
