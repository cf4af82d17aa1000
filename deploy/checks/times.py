"""Lengths of time, as nginx and Compose write them."""

import re

_SECONDS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> float:
    """How long that is: 90, 90s, 1m30s and so on."""
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([a-z]*)", text))
