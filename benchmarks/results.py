"""What was measured, as it is kept."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from benchmarks.load import Load


@dataclass(frozen=True)
class Sample:
    """One load on one stack.

    Args:
        stack: its name.
        endpoint: its name.
        connections: how many.
        workers: of the stack.
        load: what the client saw.
        cpu: seconds of CPU by part of the stack.
        ended: how many of its processes ended meanwhile, so that their CPU is not known.
        foreign: the share of all CPUs' time that went to neither the stack nor what measures it.
        stolen: the share that the machine's host kept from it.
    """

    stack: str
    endpoint: str
    connections: int
    workers: int
    load: Load
    cpu: dict[str, float]
    ended: int
    foreign: float
    stolen: float


@dataclass(frozen=True)
class Footprint:
    """What a stack takes while no other one runs.

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
class Limit:
    """The app called in one process.

    Args:
        endpoint: its name.
        processes: how many did so at the same time, this one included.
        threads: how many of this process did so.
        cpu: seconds of CPU for each call.
        rate: calls a second, of all threads together.
    """

    endpoint: str
    processes: int
    threads: int
    cpu: float
    rate: float


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
    """All that was measured.

    Args:
        samples: of the rounds, each as often as there were rounds.
        footprints: one for each stack.
        limits: of the rounds, too.
        by_connections: of the tiny endpoint, with more and with fewer connections.
        by_workers: of the template, with more and with fewer workers.
        starts: in containers, and rollouts; each as often as it was done.
        missing: the stacks that could not be measured, with the reason.
        run: on which machine, when, with which versions, and how.
    """

    samples: list[Sample] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    by_connections: list[Sample] = field(default_factory=list)
    by_workers: list[Sample] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    run: dict[str, str] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Keep them, as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        """Those that were kept."""
        kept = json.loads(file.read_text())
        samples, more, workers = (
            [Sample(**sample | {"load": Load(**sample["load"])}) for sample in kept.pop(name)]
            for name in ("samples", "by_connections", "by_workers")
        )
        footprints = [Footprint(**footprint) for footprint in kept.pop("footprints")]
        limits = [Limit(**limit) for limit in kept.pop("limits")]
        starts = [Start(**start) for start in kept.pop("starts")]
        return cls(samples, footprints, limits, more, workers, starts, **kept)
