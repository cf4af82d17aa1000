"""Graphs of the last minutes, as SVG in the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 360, 80


@dataclass(frozen=True)
class Line:
    """A line of a graph.

    Args:
        name: of what it shows.
        style: its class in ``page.css``, which has its colour.
        values: one for each sample, the latest last; None where there is none.
    """

    name: str
    style: str
    values: Sequence[float | None]


def graph(title: str, lines: Sequence[Line], samples: int, *, unit: str = "") -> str:
    """A graph with its title and legend.

    Args:
        title: what it shows.
        lines: what is in it.
        samples: how many it has room for.
        unit: of the values.
    """
    highest = max((v for line in lines for v in line.values if v is not None), default=0)
    top = _round_up(highest)
    drawn = "".join(
        f'<polyline class="{line.style}" points="{points}"/>'
        for line in lines
        for points in _polylines(line.values, samples, top)
    )
    legend = "".join(
        f'<li class="{line.style}">{escape(line.name)} <b>{_latest(line.values, unit)}</b></li>'
        for line in lines
    )
    grid = "".join(f"M0 {y}H{_WIDTH}" for y in (0.5, _HEIGHT / 2, _HEIGHT - 0.5))
    return (
        f"<figure><figcaption>{escape(title)}<span>{number(top, unit)}</span></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}, the last 15 minutes">'
        f'<path d="{grid}"/>{drawn}</svg><ul>{legend}</ul></figure>'
    )


def number(value: float | None, unit: str = "") -> str:
    """A number for people."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 1 else 2
    return f"{value:,.{digits}f}{unit}"


def _latest(values: Sequence[float | None], unit: str) -> str:
    return number(values[-1] if values else None, unit)


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten."""
    step = 1.0
    while step < value:
        step *= 2 if str(step)[0] != "2" else 2.5
    return step


def _polylines(values: Sequence[float | None], samples: int, top: float) -> list[str]:
    """The points of a line, which ends where there is no value, and begins again after that."""
    found: list[list[str]] = [[]]
    for index, value in enumerate(values, samples - len(values)):
        if value is None:
            found.append([])
        else:
            x = _WIDTH * index / (samples - 1)
            found[-1].append(f"{x:.1f},{_HEIGHT - 1 - (_HEIGHT - 2) * value / top:.1f}")
    # A point by itself would not be drawn.
    return [" ".join(points * (2 if len(points) == 1 else 1)) for points in found if points]
