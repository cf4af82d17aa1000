"""The figures of a run: medians over its rounds, and what speaks against them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from benchmarks.endpoints import Endpoint
from benchmarks.results import Results, Sample

# What a figure is marked with that was not measured cleanly.
MARKS = {
    "e": "errors: not all responses were a 2xx",
    "p": "processes of the server ended meanwhile, and what they took is not counted",
    "s": "spread: highest and lowest of the rounds are more than 20 % of the median apart",
    "n": "neighbours: more than 10 % of the CPUs' time went to other processes",
    "h": "host: more than 2 % of the CPUs' time was kept from this machine",
    "c": "client: wrk itself was busy for more than 90 % of the time, and may be the bottleneck",
}


@dataclass(frozen=True)
class Figure:
    """A median with its marks.

    Args:
        value: the median.
        marks: letters of `MARKS`.
    """

    value: float
    marks: str = ""


@dataclass(frozen=True)
class Row:
    """A stack under one kind of load, with all of its rounds."""

    samples: Sequence[Sample]

    @property
    def throughput(self) -> Figure:
        """Responses a second."""
        return self._figure(lambda s: succeeded(s) / s.load.seconds, "snhc")

    @property
    def cpu(self) -> Figure:
        """Milliseconds of CPU for 1,000 responses, of all processes."""
        return self._figure(lambda s: _per_1000(sum(s.cpu.values()), s), "psn")

    @property
    def nginx(self) -> float:
        """The share of that which nginx took, in milliseconds, too."""
        return median(_per_1000(sample.cpu.get("nginx", 0), sample) for sample in self.samples)

    @property
    def p50(self) -> Figure:
        """Median latency in milliseconds."""
        return self._figure(lambda s: s.load.p50, "snhc")

    @property
    def p99(self) -> Figure:
        """Milliseconds within which 99 of 100 came."""
        return self._figure(lambda s: s.load.p99, "nhc")

    @cached_property
    def errors(self) -> int:
        """Requests without a response, or with 400 and above; of all rounds."""
        return sum(sum(sample.load.errors.values()) for sample in self.samples)

    @property
    def requests(self) -> int:
        """All requests, all rounds together."""
        return sum(sample.load.requests for sample in self.samples)

    def _figure(self, of: Callable[[Sample], float], marks: str) -> Figure:
        values = [of(sample) for sample in self.samples]
        middle = median(values)
        found = {
            "e": self.errors > 0,
            "p": any(sample.ended for sample in self.samples),
            "s": max(values) - min(values) > 0.2 * middle,
            "n": disturbed(self.samples),
            "h": median(sample.stolen for sample in self.samples) > 0.02,
            "c": median(s.load.client_cpu / s.load.seconds for s in self.samples) > 0.9,
        }
        return Figure(middle, "".join(mark for mark in "e" + marks if found[mark]))


class Figures:
    """All rows of a run."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def row(self, stack: str, endpoint: Endpoint, connections: int) -> Row | None:
        """A stack under one kind of load, if that was measured."""
        key = stack, endpoint.name, connections
        samples = [s for s in self.results.samples if (s.stack, s.endpoint, s.connections) == key]
        return Row(samples) if samples else None

    def limit(self, endpoint: Endpoint, processes: int) -> float | None:
        """Milliseconds of CPU for 1,000 calls in-process, in that many processes at once."""
        values = [
            limit.cpu * 1e6
            for limit in self.results.limits
            if (limit.endpoint, limit.processes) == (endpoint.name, processes)
        ]
        return median(values) if values else None

    def rate(self, endpoint: Endpoint) -> float | None:
        """Calls a second in-process, with as many workers and threads as the servers have."""
        values = [
            limit.rate * limit.processes
            for limit in self.results.limits
            if limit.endpoint == endpoint.name
        ]
        return median(values) if values else None

    def at_once(self) -> list[int]:
        """How many processes called the app in-process at the same time, ascending."""
        single = (limit for limit in self.results.limits if limit.threads == 1)
        return sorted({limit.processes for limit in single})

    def stacks(self) -> list[str]:
        """Those that were measured, in the order in which they were."""
        return list(dict.fromkeys(sample.stack for sample in self.results.samples))

    def connections(self) -> list[int]:
        """The numbers of connections, ascending."""
        return sorted({sample.connections for sample in self.results.samples})


def disturbed(samples: Iterable[Sample]) -> bool:
    """Whether other processes took more than 10 % of the CPUs' time."""
    return median(sample.foreign for sample in samples) > 0.1


def succeeded(sample: Sample) -> int:
    """The number of responses below 400."""
    return sample.load.requests - sample.load.errors["status"]


def _per_1000(seconds: float, sample: Sample) -> float:
    return seconds * 1e6 / max(1, succeeded(sample))
