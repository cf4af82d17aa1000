"""``python -m benchmarks``: measure, and write tables."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import endpoints, load, machine, measure, report, start
from benchmarks.endpoints import Endpoint
from benchmarks.measure import Comparison, Make
from benchmarks.places import InContainers, OnHost, Place
from benchmarks.results import Results, Series
from benchmarks.stacks import (
    STACKS,
    Granian,
    GunicornOverUwsgi,
    InProcess,
    Ours,
    Scale,
    UsualRecipe,
    many_open_files,
)
from tests.servers import PROJECT, NotServedError

_FEW = 32  # connections
_QUICK = (*endpoints.DYNAMIC, endpoints.STATIC, endpoints.CACHEABLE)
# Each number of workers is a start, so curves are of few servers.
_CURVES = (Ours, GunicornOverUwsgi, Granian, UsualRecipe)
_WORKERS = (4, 8, 16, 32)
_CONNECTIONS = (1, 8, 32, 128, 512, 1000, 4000)
_CROWD = ((endpoints.TINY, 256), (endpoints.TEMPLATE, 256), (endpoints.TINY, 1000))


def main() -> int:
    """Measure, and write the results, the report and the plots into a directory."""
    arguments = _arguments()
    # A timeout of the whole run sends SIGTERM: leave no servers then either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    results = Results.read(folder / "results.json")
    try:
        if arguments.what != ["report"]:
            _measure(arguments, results)
        if arguments.start:
            results.starts = start.measure(_say)
    finally:
        # Keep what was measured before an interrupt.
        results.write(folder / "results.json")
    _write(results, folder, "report")
    if arguments.docs:
        _write(results, PROJECT / "docs", "benchmarks")
    print((folder / "report.md").read_text())
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measure(arguments: argparse.Namespace, results: Results) -> None:
    place = InContainers() if arguments.docker else OnHost(arguments.python)
    results.missing.clear()
    with many_open_files(), place:
        scale = f"{arguments.workers} workers of {arguments.threads} threads"
        results.machine = machine.describe(place) | {"servers have": scale}
        for name, comparisons in _plan(arguments, place):
            series = results.series[name] = Series(machine.run())
            began = time.monotonic()
            for comparison in comparisons:
                _say(f"{name}: up to {comparison.minutes:g} minutes")
                measure.compare(comparison, series, results, _say)
            series.run["minutes"] = f"{(time.monotonic() - began) / 60:.0f}"
            # In the order of the report.
            results.series = {n: results.series[n] for n in report.NAMES if n in results.series}
        if "table" in arguments.what or arguments.long:
            _footprints(arguments, place, results)


def _footprints(arguments: argparse.Namespace, place: Place, results: Results) -> None:
    results.footprints = []
    for kind in _named(STACKS, arguments.stacks, "--stacks"):
        if kind is not InProcess:
            _say(f"{kind.name}: start and memory")
            try:
                make = partial(kind, Scale(arguments.workers, arguments.threads), place)
                results.footprints.append(measure.footprint(make))
            except (NotServedError, load.WrongResponseError) as error:
                results.missing[kind.name] = str(error)


def _plan(
    arguments: argparse.Namespace, place: Place
) -> Iterator[tuple[str, Sequence[Comparison]]]:
    """What to measure: the comparisons of each series."""
    scale, minutes = Scale(arguments.workers, arguments.threads), arguments.minutes
    peers = _named([s for s in STACKS if s is not Ours], arguments.stacks, "--stacks")
    others = [partial(kind, scale, place) for kind in peers]
    curves = [partial(kind, scale, place) for kind in peers if kind in _CURVES]
    ours = partial(Ours, scale, place)

    def chosen(default: Sequence[Endpoint]) -> Sequence[Endpoint]:
        if not arguments.endpoints:
            return default
        return _named(endpoints.ENDPOINTS, arguments.endpoints, "--endpoints")

    def cells(default: Sequence[Endpoint]) -> list[tuple[Endpoint, int]]:
        return [(endpoint, arguments.connections) for endpoint in chosen(default)]

    what, *words = ["table", *report.NAMES[1:-1]] if arguments.long else arguments.what
    wanted = [what] if what == "settings" else [what, *words]
    for name in wanted:
        if name == "table":
            every = endpoints.TABLE if arguments.long else _QUICK
            yield name, [Comparison(ours, others, cells(every), minutes)]
        elif name == "crowd":
            servers = [partial(kind, scale, place) for kind in peers if kind is not InProcess]
            yield name, [Comparison(ours, servers, _CROWD, minutes, seconds=1)]
        elif name == "connections":
            many = [(endpoints.TINY, connections) for connections in _CONNECTIONS]
            yield name, [Comparison(ours, curves, many, minutes)]
        elif name == "size":
            sizes = [(endpoint, _FEW) for endpoint in endpoints.SIZES]
            yield name, [Comparison(ours, curves, sizes, minutes)]
        elif name == "workers":
            both = [(endpoint, _FEW) for endpoint in chosen((endpoints.TINY, endpoints.TEMPLATE))]
            kinds = [kind for kind in _CURVES if kind is Ours or kind in peers]
            yield (
                name,
                [
                    Comparison(
                        partial(kind, scale, place),
                        [partial(kind, Scale(n, scale.threads), place) for n in _WORKERS],
                        both,
                        minutes / len(kinds),
                    )
                    for kind in kinds
                ],
            )
        elif name == "settings":
            variants = [_variant(word, scale, place) for word in words]
            yield name, [Comparison(ours, variants, cells(endpoints.DYNAMIC), minutes)]
        else:
            sys.exit(f"benchmarks: {name!r}: write some of {', '.join(report.NAMES)} or report.")


def _variant(words: str, scale: Scale, place: Place) -> Make:
    settings = dict(word.partition("=")[::2] for word in words.split(","))
    return partial(Ours, scale, place, settings=settings)


def _write(results: Results, directory: Path, name: str) -> None:
    from benchmarks import plots  # matplotlib, which `make bench` installs

    plot = directory / f"{name}.svg"
    plots.draw(results, plot)
    (directory / f"{name}.md").write_text(report.write(results, plot.name))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        default=["table"],
        help=f"some of {', '.join(report.NAMES[:-1])} (default: table);"
        " `settings A=1 B=2,C=3`, each against none; or `report` of earlier results",
    )
    parser.add_argument("--long", action="store_true", help="all of these, and more endpoints")
    parser.add_argument("--minutes", type=float, default=10, help="limit of each (default: 10)")
    parser.add_argument("--docker", action="store_true", help="everything in containers")
    parser.add_argument("--workers", type=int, default=2, help="of each server (default: 2)")
    parser.add_argument("--threads", type=int, default=4, help="of each worker (default: 4)")
    parser.add_argument("--connections", type=int, default=_FEW, help=f"(default: {_FEW})")
    parser.add_argument("--stacks", nargs="+", help="only those with one of these in the name")
    parser.add_argument("--endpoints", nargs="+", help="only those, likewise")
    parser.add_argument(
        "--python",
        type=Path,
        default=PROJECT / ".app" / "current" / "bin" / "python",
        help="of an environment with the bundle's and the app's packages (default: make serve's)",
    )
    parser.add_argument(
        "--start", action="store_true", help="measure `docker compose up` and rollouts as well"
    )
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.* as well")
    parser.add_argument("--output", type=Path, default=PROJECT / ".run" / "bench")
    return parser.parse_args()


def _named(things: Sequence[Any], words: Sequence[str] | None, option: str) -> list[Any]:
    found = [thing for thing in things if not words or any(word in thing.name for word in words)]
    if not found:
        names = ", ".join(thing.name for thing in things)
        sys.exit(f"benchmarks: {option} is {' '.join(words)!r}; name some of these: {names}.")
    return found


if __name__ == "__main__":
    sys.exit(main())
