"""The report: tables in Markdown."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from benchmarks.results import Figure, Results, Sample, Series
from benchmarks.stacks import STACKS, Ours

Cell = tuple[str, int]

_RATIO = """\
A ratio is ours to theirs: below 1, ours takes less. In brackets is its 95 % confidence interval.
`equal`: the interval is within 3 % of 1. `can't tell`: it is wider and includes 1. `errors`: more
than a tenth of the measurements had some."""
_LOGS = {stack.name: stack.logs for stack in STACKS}


def write(results: Results, plot: str) -> str:
    """The whole report.

    Args:
        results: of the measurements.
        plot: the file name of the plot, beside the report.
    """
    blocks = [
        "# Benchmarks",
        "Written by `make bench`. What is measured, and what is equal: `benchmarks/README.md`.",
        f"![CPU of each server, and over workers, connections and sizes]({plot})",
        _table(("", ""), results.machine.items()),
    ]
    for name, series in results.series.items():
        if series.pairs:
            blocks += _SECTIONS[name](series)
            blocks.append(_run(series))
    if results.footprints:
        blocks += ["## Memory and start", _footprints(results)]
    if results.starts:
        blocks += ["## Start and rollout, in containers", _starts(results)]
    if results.missing:
        blocks += ["## Not measured", _table(("what", "why"), _missing(results))]
    return "\n\n".join(blocks) + "\n"


def _servers(series: Series) -> Iterable[str]:
    cells, names = series.cells(), [Ours.name, *series.others()]
    heads = ("", *(endpoint for endpoint, _ in cells))

    def each(show: Callable[[list[Sample]], str]) -> str:
        rows = ([name, *(show(series.samples(name, cell)) for cell in cells)] for name in names)
        return _table(heads, rows)

    yield f"## CPU: ours to theirs, {cells[0][1]} connections"
    yield _RATIO
    yield _ratios(series, cells, heads, Sample.cost)
    yield "## CPU for a request, in microseconds (in brackets: of nginx)"
    yield each(_cost)
    yield "## Context switches for a request: wake-ups of nginx + app, preemptions"
    yield each(_switches)
    yield "## Requests a second"
    yield each(lambda samples: _median(samples, lambda s: s.rate))
    yield "## Latency in milliseconds: median / p99"
    yield each(_latency)


def _crowd(series: Series) -> Iterable[str]:
    cells, names = series.cells(), [Ours.name, *series.others()]
    heads = ("", *(f"{endpoint}, {connections}" for endpoint, connections in cells))
    yield "## p99 with many connections: ours to theirs"
    yield _ratios(series, cells, heads, _p99)
    yield "## p99 in milliseconds, and errors of all requests"
    rows = ([name, *(_p99_and_errors(series.samples(name, c)) for c in cells)] for name in names)
    yield _table(heads, rows)


def _curves(title: str) -> Callable[[Series], Iterable[str]]:
    def curves(series: Series) -> Iterable[str]:
        cells = series.cells()
        yield f"## CPU over {title}: ours to theirs"
        unit = "" if title == "response size" else " connections"
        heads = ("", *(f"{c if unit else endpoint}{unit}" for endpoint, c in cells))
        yield _ratios(series, cells, heads, Sample.cost)
        yield "In microseconds for a request:"
        rows = (
            [name, *(_cost(series.samples(name, cell)) for cell in cells)]
            for name in [Ours.name, *series.others()]
        )
        yield _table(heads, rows)

    return curves


def _workers(series: Series) -> Iterable[str]:
    cells = series.cells()
    numbers = sorted({pair.other.workers for pair in series.pairs})
    fewest = min(pair.base.workers for pair in series.pairs)
    yield f"## Over workers: CPU for a request, and wake-ups, against {fewest} workers"
    yield "More workers than CPUs also share the CPUs' caches, which costs any server."
    rows = []
    for name in series.others():
        for cell in cells:
            row = [f"{name}, {cell[0]}", _waking(series.samples(name, cell, fewest))]
            for number in numbers:
                found = series.ratio(name, cell, lambda s: 1 / s.cost(), number)
                waking = _waking(series.samples(name, cell, number))
                row.append(f"{found}; {waking}" if found else "")
            rows.append(row)
    yield _table(("", f"{fewest}", *map(str, numbers)), rows)


def _settings(series: Series) -> Iterable[str]:
    cells, base = series.cells(), series.pairs[0].base.stack
    yield f"## Settings: with to without ({base})"
    heads = ("", *(f"{endpoint}, {connections}" for endpoint, connections in cells))
    figures = {
        "CPU for a request": Sample.cost,
        "Responses a second": lambda sample: sample.rate,
        "p99": _p99,
    }
    for what, of in figures.items():
        yield f"{what}:"
        yield _ratios(series, cells, heads, lambda sample, of=of: 1 / of(sample))
    yield "Microseconds for a request; responses a second; p99 in milliseconds:"
    rows = (
        [name, *(_all(series.samples(name, cell), figures.values()) for cell in cells)]
        for name in [base, *series.others()]
    )
    yield _table(heads, rows)


_SECTIONS: dict[str, Callable[[Series], Iterable[str]]] = {
    "table": _servers,
    "crowd": _crowd,
    "workers": _workers,
    "connections": _curves("connections"),
    "size": _curves("response size"),
    "settings": _settings,
}
NAMES = tuple(_SECTIONS)


def _ratios(series: Series, cells: list[Cell], heads: Sequence[str], of: Figure) -> str:
    rows = ([name, *(_ratio(series, name, cell, of) for cell in cells)] for name in series.others())
    return _table(heads, (row for row in rows if any(row[1:])))


def _ratio(series: Series, name: str, cell: Cell, of: Figure) -> str:
    samples = series.samples(name, cell)
    if not samples or not any(of(sample) for sample in samples):
        return ""
    found = series.ratio(name, cell, of)
    return str(found) if found else "errors"


def _run(series: Series) -> str:
    words = ", ".join(f"{name} {value}" for name, value in series.run.items())
    rounds = 1 + max(pair.round for pair in series.pairs)
    return (
        f"Rounds: {rounds}; {words}. Other processes took {series.foreign():.0%} of the CPUs' time."
        " Only ratios are meaningful on a machine that is shared."
    )


def _p50(sample: Sample) -> float:
    return sample.p50


def _p99(sample: Sample) -> float:
    return sample.p99


def _latency(samples: list[Sample]) -> str:
    if not any(map(_p99, samples)):  # in-process
        return ""
    return f"{_median(samples, _p50)} / {_median(samples, _p99)}"


def _cost(samples: list[Sample]) -> str:
    nginx = median(s.cost("nginx") for s in samples) if samples else 0
    return _median(samples, Sample.cost) + (f" ({_number(nginx)})" if nginx else "")


def _all(samples: list[Sample], figures: Iterable[Figure]) -> str:
    return "; ".join(_median(samples, of) for of in figures)


def _waking(samples: list[Sample]) -> str:
    return _median(samples, lambda s: s.wakeups.get("app", 0) / s.requests)


def _switches(samples: list[Sample]) -> str:
    if not samples or not samples[0].wakeups:
        return ""
    parts = sorted({part for s in samples for part in s.wakeups}, key=lambda part: part != "nginx")
    wakeups = " + ".join(
        _median(samples, lambda s, part=part: s.wakeups.get(part, 0) / s.requests)
        for part in parts
        if part != "supervisor"
    )
    return f"{wakeups}, {_median(samples, lambda s: sum(s.preemptions.values()) / s.requests)}"


def _p99_and_errors(samples: list[Sample]) -> str:
    if not samples:
        return ""
    failed = sum(s.errors for s in samples) / sum(s.requests for s in samples)
    return f"{_median(samples, _p99)}; {f'{failed:.1%}' if failed else 0}"


def _footprints(results: Results) -> str:
    def show(memory: dict[str, int]) -> str:
        parts = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in sorted(memory.items()))
        return f"{sum(memory.values()) / 1e6:.0f} ({parts})"

    return _table(
        ("", "MB at rest (PSS)", "MB after load", "s to first response", "who logs a request"),
        (
            (f.stack, show(f.idle), show(f.loaded), f"{f.seconds:.2f}", _LOGS.get(f.stack, ""))
            for f in results.footprints
        ),
    )


def _starts(results: Results) -> str:
    rows = []
    for what in dict.fromkeys(start.what for start in results.starts):
        seconds = [start.seconds for start in results.starts if start.what == what]
        span = f"{min(seconds):.2f} to {max(seconds):.2f}"
        rows.append((what, f"{median(seconds):.2f}", span, str(len(seconds))))
    return _table(("", "s, median", "from the lowest to the highest", "times"), rows)


def _missing(results: Results) -> Iterable[Sequence[str]]:
    for what, why in results.missing.items():
        yield what, why.strip().splitlines()[0] if why.strip() else "it does not start"


def _median(samples: list[Sample], of: Figure) -> str:
    return _number(median(map(of, samples))) if samples else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
