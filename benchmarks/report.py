"""The report: tables in Markdown."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from benchmarks import targets
from benchmarks.endpoints import ENDPOINTS
from benchmarks.figures import MARKS, Figure, Figures, Row
from benchmarks.measure import LIMITED
from benchmarks.results import Results
from benchmarks.stacks import STACKS

_NOTES = (
    "Figures are medians over the rounds. A letter says what was not clean:",
    "Memory is PSS: what processes share counts once. `supervisor` is the process of `make serve`",
    "itself, which containers do not have.",
)
_LOGS = {stack.name: stack.logs for stack in STACKS}


def write(results: Results, plot: str, *, with_targets: bool = True) -> str:
    """The whole report.

    Args:
        results: of the measurements.
        plot: the file name of the plot, beside the report.
        with_targets: whether to compare ratios with the targets of this project.
    """
    figures = Figures(results)
    few, *more = figures.connections()
    blocks = [
        "# Benchmarks",
        "Written by `make bench`. What is measured, and what is equal: `benchmarks/README.md`.",
        f"![CPU of each stack; requests a second over connections and over workers]({plot})",
        _table(("", ""), ((name, text) for name, text in results.run.items())),
        "## Ratios",
        _ratios(figures, with_targets),
        f"## CPU: ms for 1,000 requests, {few} connections (in brackets: of these, nginx)",
        _rows(figures, few, _cpu, _limits(figures)),
        f"## Requests a second, {few} connections",
        _rows(figures, few, lambda row: _show(row.throughput)),
        f"## Milliseconds, {few} connections: median / p99",
        _rows(figures, few, _latency),
    ]
    for many in more:
        blocks += [
            f"## {many} connections: requests a second, ms for 99 of 100, errors",
            _rows(figures, many, _crowd),
        ]
    blocks += ["## Memory and start", _footprints(results)]
    if results.starts:
        blocks += ["## Waiting, in containers", _starts(results)]
    if results.missing:
        blocks += ["## Not measured", _table(("stack", "why"), _missing(results))]
    blocks += ["## How to read it", _notes()]
    return "\n\n".join(blocks) + "\n"


def _ratios(figures: Figures, with_targets: bool) -> str:
    if not with_targets:
        return _table(("what", "figure"), ((t.what, t.figure) for t in targets.of(figures)))
    return _table(
        ("what", "figure", "target", "met"),
        (
            (target.what, target.figure, target.wanted, "yes" if target.met else "**no**")
            for target in targets.of(figures)
        ),
    )


def _rows(
    figures: Figures,
    connections: int,
    show: Callable[[Row], str],
    last: Iterable[Sequence[str]] = (),
) -> str:
    stacks = figures.stacks()
    measured = [
        endpoint
        for endpoint in ENDPOINTS
        if any(figures.row(stack, endpoint, connections) for stack in stacks)
    ]
    rows = []
    for stack in stacks:
        cells = [figures.row(stack, endpoint, connections) for endpoint in measured]
        if any(cells):
            rows.append((stack, *(show(cell) if cell else "" for cell in cells)))
    return _table(("", *(endpoint.name for endpoint in measured)), [*rows, *last])


def _limits(figures: Figures) -> list[Sequence[str]]:
    rows = []
    for processes in figures.at_once():
        what = "in-process, no server" if processes == 1 else f"the same, {processes} at once"
        cells = (
            _number(figures.limit(endpoint, processes))
            for endpoint in LIMITED
            if any(sample.endpoint == endpoint.name for sample in figures.results.samples)
        )
        rows.append((what, *cells))
    return rows


def _footprints(results: Results) -> str:
    def show(memory: dict[str, int]) -> str:
        parts = ", ".join(f"{part} {_megabytes(size)}" for part, size in sorted(memory.items()))
        return f"{_megabytes(sum(memory.values()))} ({parts})"

    return _table(
        (
            "",
            "MB at rest",
            "MB after load",
            "s to first response",
            "who logs a request",
        ),
        (
            (f.stack, show(f.idle), show(f.loaded), f"{f.seconds:.2f}", _LOGS.get(f.stack, ""))
            for f in results.footprints
        ),
    )


def _starts(results: Results) -> str:
    waits = dict.fromkeys(start.what for start in results.starts)
    rows = []
    for what in waits:
        seconds = [start.seconds for start in results.starts if start.what == what]
        span = f"{min(seconds):.2f} to {max(seconds):.2f}"
        rows.append((what, f"{median(seconds):.2f}", span, str(len(seconds))))
    return _table(("", "s, median", "from the lowest to the highest", "times"), rows)


def _missing(results: Results) -> Iterable[Sequence[str]]:
    for stack, why in results.missing.items():
        yield stack, why.strip().splitlines()[0] if why.strip() else "it does not start"


def _notes() -> str:
    marks = (f"- `{mark}` {text}" for mark, text in MARKS.items())
    return "\n".join((*_NOTES[:1], "", *marks, "", *_NOTES[1:]))


def _cpu(row: Row) -> str:
    return _show(row.cpu) + (f" ({row.nginx:.0f})" if row.nginx else "")


def _latency(row: Row) -> str:
    return f"{_show(row.p50)} / {_show(row.p99)}"


def _crowd(row: Row) -> str:
    return f"{_show(row.throughput)}; {_show(row.p99)}; {row.errors:,}"


def _show(figure: Figure) -> str:
    return _number(figure.value) + (f" {figure.marks}" if figure.marks else "")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    full = ([*row, *[""] * (len(head) - len(row))] for row in rows)
    lines = [head, ["---"] * len(head), *full]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
