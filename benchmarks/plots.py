"""The plots: CPU for each stack, and throughput over connections and over workers."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks import endpoints
from benchmarks.endpoints import Endpoint
from benchmarks.figures import Figures, disturbed, succeeded
from benchmarks.measure import LIMITED
from benchmarks.results import Results, Sample
from benchmarks.stacks import STACKS, NginxAlone, Ours, OursBare

_COMPARED = [stack for stack in STACKS if stack not in (OursBare, NginxAlone)]
_COLOURS = dict(
    zip(
        (stack.name for stack in _COMPARED),
        ("#d1495b", "#555555", "#2e86ab", "#3b8b5a", "#8e6c8a", "#c98b2b", "#7bc29a", "#9db4c0"),
        strict=True,
    )
)


def draw(results: Results, file: Path) -> None:
    """Write all plots into one file; its suffix says in which format."""
    # Text stays text: smaller, and in the reader's own font.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 9}):
        figure = pyplot.figure(figsize=(11, 7.5), layout="constrained")
        upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.2))
        upper.suptitle("CPU, ms for 1,000 requests (dark: nginx); the line is the app in-process")
        names = {sample.endpoint for sample in results.samples}
        shown = [endpoint for endpoint in LIMITED if endpoint.name in names] or [endpoints.TINY]
        panels = upper.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        _draw_cpu(panels, shown, Figures(results))
        lower.suptitle(
            "Requests a second (hollow: other processes took more than 10 % of the CPUs)"
        )
        over_connections, over_workers = lower.subplots(1, 2)
        tiny = [sample for sample in results.samples if sample.endpoint == endpoints.TINY.name]
        _draw_lines(over_connections, [*tiny, *results.by_connections], "connections")
        over_connections.set(title=endpoints.TINY.name, xlabel="connections", ylabel="requests/s")
        _draw_lines(over_workers, results.by_workers, "workers")
        over_workers.set(title=f"{endpoints.TEMPLATE.name}, 32 connections", xlabel="workers")
        if over_connections.lines:
            over_connections.legend(fontsize=8)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
        pyplot.close(figure)


def _draw_cpu(panels: Sequence[Axes], shown: Sequence[Endpoint], figures: Figures) -> None:
    for endpoint, axes in zip(shown, panels, strict=True):
        few = min(figures.connections(), default=0)
        rows = {stack.name: figures.row(stack.name, endpoint, few) for stack in _COMPARED}
        rows = {name: row for name, row in rows.items() if row and row.cpu.value}
        names = list(rows)
        colours = [_COLOURS[name] for name in names]
        axes.barh(names, [row.cpu.value for row in rows.values()], color=colours)
        nginx = [row.nginx for row in rows.values()]
        axes.barh(names, nginx, color="#00000055")
        _draw_limit(axes, endpoint, figures)
        axes.set_title(endpoint.name)
    panels[0].invert_yaxis()  # which all panels share: the first stack on top


def _draw_limit(axes: Axes, endpoint: Endpoint, figures: Figures) -> None:
    processes = max(figures.at_once(), default=0)
    limit = figures.limit(endpoint, processes)
    if limit:
        axes.axvline(limit, color="black", linewidth=1, linestyle=":")


def _draw_lines(axes: Axes, samples: list[Sample], over: str) -> None:
    for name, colour in _COLOURS.items():
        points: dict[int, list[Sample]] = {}
        for sample in samples:
            if sample.stack == name:
                points.setdefault(getattr(sample, over), []).append(sample)
        if points:
            xs = sorted(points)
            ys = [median(succeeded(s) / s.load.seconds for s in points[x]) for x in xs]
            width = 2.5 if name == Ours.name else 1.2
            axes.plot(xs, ys, color=colour, linewidth=width, label=name)
            faces = ["white" if disturbed(points[x]) else colour for x in xs]
            axes.scatter(xs, ys, s=20, facecolors=faces, edgecolors=colour, zorder=3)
            axes.set_xscale("log", base=2)
            axes.set_xticks(xs)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0)
