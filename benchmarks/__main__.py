"""``python -m benchmarks``: measure, and write tables."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import endpoints, machine, measure, plots, report, start
from benchmarks.places import InContainers, OnHost
from benchmarks.results import Results
from benchmarks.stacks import STACKS, Scale, many_open_files
from tests.servers import PROJECT


def main() -> int:
    """Measure, and write the results, the report and the plots into a folder."""
    arguments = _arguments()
    # A timeout of the whole run sends SIGTERM: leave no servers then either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    results = Results.read(arguments.results) if arguments.results else _measure(arguments)
    if arguments.start:
        results.starts = start.measure(_say)
    results.write(folder / "results.json")
    _write(results, folder, "report", with_targets=True)
    if arguments.docs:
        _write(results, PROJECT / "docs", "benchmarks", with_targets=False)
    print((folder / "report.md").read_text())
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measure(arguments: argparse.Namespace) -> Results:
    results = Results()
    place = InContainers() if arguments.docker else OnHost()
    few = arguments.quick or bool(arguments.connections)
    with many_open_files(), place:
        plan = measure.Plan(
            stacks=_named(STACKS, arguments.stacks, "--stacks"),
            endpoints=_named(endpoints.ENDPOINTS, arguments.endpoints, "--endpoints"),
            scale=Scale(arguments.workers, arguments.threads),
            place=place,
            rounds=arguments.rounds or (1 if arguments.quick else 3),
            seconds=arguments.seconds,
            connections=arguments.connections or ([32] if arguments.quick else [32, 256]),
            many=0 if few else 1000,
            sweeps=not few,
        )
        results.run = machine.describe(place) | {
            "workers": str(plan.scale.workers),
            "threads": str(plan.scale.threads),
            "rounds": f"{plan.rounds}, {plan.seconds} s each",
        }
        try:
            measure.measure(plan, results, _say)
        finally:
            # Report what was measured before an interrupt.
            results.write(arguments.output / "results.json")
    return results


def _write(results: Results, directory: Path, name: str, *, with_targets: bool) -> None:
    plot = directory / f"{name}.svg"
    plots.draw(results, plot)
    text = report.write(results, plot.name, with_targets=with_targets)
    (directory / f"{name}.md").write_text(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, 32 connections only")
    parser.add_argument("--docker", action="store_true", help="everything in containers")
    parser.add_argument("--rounds", type=int, help="how often each figure is taken (default: 3)")
    parser.add_argument("--seconds", type=int, default=1, help="how long each time (default: 1)")
    parser.add_argument("--workers", type=int, default=2, help="of each stack (default: 2)")
    parser.add_argument("--threads", type=int, default=4, help="of each worker (default: 4)")
    parser.add_argument("--connections", type=int, nargs="+", help="instead of 32, 256 and 1000")
    parser.add_argument("--stacks", nargs="+", help="only those with one of these in the name")
    parser.add_argument("--endpoints", nargs="+", help="only those, likewise")
    parser.add_argument("--results", type=Path, help="measure nothing: report what is in this file")
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
