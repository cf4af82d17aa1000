"""Results, and the file that keeps them."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median
from typing import Self

from benchmarks.ratios import Ratio, ratio


@dataclass(frozen=True)
class Sample:
    """One server under load, for a fraction of a second.

    Args:
        stack: its name.
        workers: their number.
        requests: number of responses.
        errors: responses with status 400 and above, and requests without a response.
        seconds: duration.
        p50: median latency in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
        cpu: seconds of CPU time, by part of the server.
        wakeups: voluntary context switches of all threads, by part of the server.
        preemptions: involuntary ones.
        foreign: share of the CPUs' time that neither the server nor the client took.
    """

    stack: str
    workers: int
    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    cpu: dict[str, float]
    wakeups: dict[str, int]
    preemptions: dict[str, int]
    foreign: float

    def cost(self, part: str = "") -> float:
        """Microseconds of CPU time for a request, of all parts or of one."""
        taken = self.cpu.get(part, 0) if part else sum(self.cpu.values())
        return taken * 1e6 / max(1, self.requests)

    @property
    def rate(self) -> float:
        """Responses a second."""
        return self.requests / self.seconds


Figure = Callable[[Sample], float]


@dataclass(frozen=True)
class Pair:
    """Two servers under the same load, one right after the other.

    Args:
        round: its number. Each round has new processes.
        endpoint: what was requested.
        connections: number of connections.
        base: what is compared with.
        other: what is compared.
    """

    round: int
    endpoint: str
    connections: int
    base: Sample
    other: Sample

    @property
    def cell(self) -> tuple[str, int]:
        """The load."""
        return self.endpoint, self.connections


@dataclass
class Series:
    """All pairs of one comparison.

    Args:
        run: when, how long, with which commit.
        pairs: in the order of measurement.
    """

    run: dict[str, str] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    def cells(self) -> list[tuple[str, int]]:
        """The loads, in order."""
        return list(dict.fromkeys(pair.cell for pair in self.pairs))

    def others(self) -> list[str]:
        """The names of what is compared, in order."""
        return list(dict.fromkeys(pair.other.stack for pair in self.pairs))

    def ratio(
        self, other: str, cell: tuple[str, int], of: Figure, workers: int = 0
    ) -> Ratio | None:
        """Of the base to another one, or None if that was not measured or there were errors."""
        rounds = defaultdict(list)
        failed = 0
        for pair in self.pairs:
            if (pair.other.stack, pair.cell) == (other, cell) and workers in (
                0,
                pair.other.workers,
            ):
                failed += bool(pair.base.errors or pair.other.errors)
                rounds[pair.round].append(of(pair.base) / of(pair.other))
        if not rounds or failed > 0.1 * sum(map(len, rounds.values())):
            return None
        return ratio([geometric_mean(ratios) for ratios in rounds.values()])

    def samples(self, stack: str, cell: tuple[str, int], workers: int = 0) -> list[Sample]:
        """All of a server under one load."""
        return [
            sample
            for pair in self.pairs
            for sample in (pair.base, pair.other)
            if (sample.stack, pair.cell) == (stack, cell) and workers in (0, sample.workers)
        ]

    def foreign(self) -> float:
        """Share of the CPUs' time that other processes took."""
        return median(s.foreign for pair in self.pairs for s in (pair.base, pair.other))


@dataclass(frozen=True)
class Footprint:
    """Memory and start of a server while no other one runs.

    Args:
        stack: its name.
        seconds: from its start to its first response.
        idle: bytes of memory by part, before the first request.
        loaded: the same after a load.
    """

    stack: str
    seconds: float
    idle: dict[str, int]
    loaded: dict[str, int]


@dataclass(frozen=True)
class Start:
    """A waiting time.

    Args:
        what: for what.
        seconds: how long.
    """

    what: str
    seconds: float


@dataclass
class Results:
    """All results.

    Args:
        machine: what it was measured on, and with which versions.
        series: comparisons by name. A comparison that is measured again replaces the old one.
        footprints: one for each server.
        starts: in containers, and rollouts; each as often as it was measured.
        missing: what could not be measured, with the reason.
    """

    machine: dict[str, str] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    footprints: list[Footprint] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Write the file."""
        file.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read such a file; without one, there are no results yet."""
        if not file.exists():
            return cls()
        kept = json.loads(file.read_text())
        series = {name: _series(**kept) for name, kept in kept.pop("series").items()}
        footprints = [Footprint(**footprint) for footprint in kept.pop("footprints")]
        starts = [Start(**start) for start in kept.pop("starts")]
        return cls(series=series, footprints=footprints, starts=starts, **kept)


def _series(run: dict, pairs: list[dict]) -> Series:
    samples = ("base", "other")
    return Series(run, [Pair(**pair | {s: Sample(**pair[s]) for s in samples}) for pair in pairs])
