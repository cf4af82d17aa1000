"""The plots: CPU of each server, and the curves over workers, connections and sizes."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks import endpoints
from benchmarks.results import Pair, Results, Sample, Series
from benchmarks.stacks import STACKS, InProcess, NginxAlone, Ours, OursBare

_COMPARED = [s.name for s in STACKS if s not in (OursBare, NginxAlone, InProcess)]
_COLOURS = dict(zip(_COMPARED, (f"C{number}" for number in range(10)), strict=False))
_BYTES = {endpoint.name: endpoint.bytes for endpoint in endpoints.SIZES}
_CURVES: dict[str, Callable[[Pair, Sample], int]] = {
    "workers": lambda _, sample: sample.workers,
    "connections": lambda pair, _: pair.connections,
    "size": lambda pair, _: _BYTES[pair.endpoint],
}


def draw(results: Results, file: Path) -> None:
    """Write all plots into one file; its suffix says in which format."""
    # Text stays text: smaller, and in the reader's own font.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 9}):
        curves = {name: results.series[name] for name in _CURVES if name in results.series}
        figure = pyplot.figure(figsize=(11, 7.5 if curves else 3.5), layout="constrained")
        upper, *lower = figure.subfigures(2 if curves else 1, 1, squeeze=False)[:, 0]
        upper.suptitle("CPU for a request, µs (dark: nginx); the line is the app in-process")
        panels = upper.subplots(1, len(endpoints.DYNAMIC), sharey=True)
        table = results.series.get("table", Series())
        for axes, endpoint in zip(panels, endpoints.DYNAMIC, strict=True):
            cell = next((c for c in table.cells() if c[0] == endpoint.name), None)
            if cell:
                _draw_cpu(axes, table, cell)
        panels[0].invert_yaxis()  # which all panels share: the first server on top
        if curves:
            lower[0].suptitle("CPU for a request, µs")
            panels = lower[0].subplots(1, len(curves), squeeze=False)[0]
            for axes, (name, series) in zip(panels, curves.items(), strict=True):
                _draw_curve(axes, series, _CURVES[name])
                endpoint = series.pairs[0].endpoint if name != "size" and series.pairs else ""
                axes.set(title=endpoint, xlabel=name)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        pyplot.close(figure)


def _draw_cpu(axes: Axes, series: Series, cell: tuple[str, int]) -> None:
    rows = {name: series.samples(name, cell) for name in _COMPARED}
    rows = {name: samples for name, samples in rows.items() if samples}
    colours = [_COLOURS[name] for name in rows]
    axes.barh(list(rows), [median(map(Sample.cost, s)) for s in rows.values()], color=colours)
    nginx = [median(s.cost("nginx") for s in samples) for samples in rows.values()]
    axes.barh(list(rows), nginx, color="#00000055")
    if limit := series.samples(InProcess.name, cell):
        axes.axvline(median(map(Sample.cost, limit)), color="black", linewidth=1, linestyle=":")
    axes.set_title(cell[0])


def _draw_curve(axes: Axes, series: Series, x: Callable[[Pair, Sample], int]) -> None:
    first = series.pairs[0].endpoint if x is _CURVES["workers"] and series.pairs else ""
    for name, colour in _COLOURS.items():
        points: dict[int, list[float]] = {}
        for pair in series.pairs:
            for sample in (pair.base, pair.other):
                if sample.stack == name and first in ("", pair.endpoint) and not sample.errors:
                    points.setdefault(x(pair, sample), []).append(sample.cost())
        if points:
            xs = sorted(points)
            width = 2.5 if name == Ours.name else 1.2
            ys = [median(points[x]) for x in xs]
            axes.plot(xs, ys, "o-", color=colour, linewidth=width, markersize=3, label=name)
            axes.set_xscale("log")
            axes.set_xticks(xs, [f"{x:,}" for x in xs], fontsize=7)
            axes.minorticks_off()
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize=7)
