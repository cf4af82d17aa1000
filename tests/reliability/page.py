"""The tables of docs/reliability.md."""

from collections.abc import Iterable

from tests.reliability import held, kills
from tests.servers import PROJECT

PAGE = PROJECT / "docs" / "reliability.md"
WHERE = {"host": "`make serve`", "compose": "Compose"}
_HEADS = {
    "kills": "| where | process | signal | in-flight requests | site | failed | 200 after |",
    "held": "| where | held by | 200 after |",
}


def kill_cells(row: kills.Row) -> list[str]:
    """The cells of a row that are not measured."""
    return [WHERE[row.kind], row.process, row.signals, row.in_flight, row.site]


def held_cells(kind: str, holder: str) -> list[str]:
    """The same of a row about a held interpreter."""
    return [WHERE[kind], held.HOLDERS[holder]]


def kill_figures(outcome: kills.Outcome) -> list[str]:
    """The cells that are measured."""
    again = f"{outcome.pause:.1f} s" + (" (started again)" if outcome.ended else "")
    return [f"{outcome.lost} of {kills.IN_FLIGHT}", again]


def listed(table: str) -> list[list[str]]:
    """The cells of each row of a table."""
    _, rows, _ = _parts(table)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def write(table: str, rows: Iterable[list[str]]) -> None:
    """Write the rows of a table anew."""
    before, _, after = _parts(table)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    PAGE.write_text("\n".join([*before, *lines, *after]) + "\n")


def _parts(table: str) -> tuple[list[str], list[str], list[str]]:
    """The lines down to the head of a table, its rows, and the lines below it."""
    lines = PAGE.read_text().splitlines()
    first = last = lines.index(_HEADS[table]) + 2
    while last < len(lines) and lines[last].startswith("|"):
        last += 1
    return lines[:first], lines[first:last], lines[last:]
