"""The last minutes, for the status page: in memory, a sample every few seconds."""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deploy.server.instances import Instance
from deploy.server.metrics.requests import BOUNDS, Requests

# Seconds between two samples, and of all.
STEP, SPAN = 5, 900
CLASSES = ("2xx", "3xx", "4xx", "5xx")
_NOTHING = (0,) * (len(BOUNDS) + 1)


@dataclass(frozen=True)
class Sample:
    """The state at one time.

    Args:
        time: in seconds of a clock that is never set.
        buckets: all requests so far by duration, for each mount and status class.
        busy: threads with a request, the most since the last sample.
        threads: all threads.
        queue: length of the listen backlog, the most since the last sample.
        queue_limit: its limit.
    """

    time: float
    buckets: dict[tuple[str, str], tuple[int, ...]]
    busy: int
    threads: int
    queue: int
    queue_limit: int


@dataclass(frozen=True)
class Window:
    """What happened between two samples."""

    first: Sample
    last: Sample

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.last.time - self.first.time

    def durations(self, mounts: Iterable[str] = (), status: str = "") -> list[int]:
        """Requests by duration, of some mounts or a status class, by default of all."""
        found = [
            (key, counts)
            for key, counts in self.last.buckets.items()
            if (not mounts or key[0] in mounts) and (not status or key[1] == status)
        ]
        before = (self.first.buckets.get(key, _NOTHING) for key, _ in found)
        now = (counts for _, counts in found)
        return [
            sum(column) - sum(past)
            for column, past in zip(_columns(now), _columns(before), strict=True)
        ]

    def per_second(self, *mounts: str, status: str = "") -> float:
        """Requests a second."""
        return sum(self.durations(mounts, status)) / self.seconds if self.seconds else 0.0


def quantile(share: float, durations: Sequence[int]) -> float | None:
    """A quantile in milliseconds, as Prometheus estimates it; None without requests.

    Args:
        share: 0.5 for the median.
        durations: requests by duration.
    """
    rank, below, lower = share * sum(durations), 0, 0
    if not rank:
        return None
    for upper, count in zip(BOUNDS, durations, strict=False):
        if below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return float(lower)


def _columns(rows: Iterable[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    return zip(_NOTHING, *rows, strict=True)


class History:
    """The samples of the last quarter of an hour."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SPAN // STEP + 1)
        self._busy = self._queue = 0

    def take(self, requests: Requests, live: Instance | None) -> None:
        """Take a sample, if it is time for one."""
        busy = threads = 0
        if live:
            busy = sum(len(worker.requests) for worker in live.workers)
            threads = sum(worker.threads for worker in live.workers)
            self._queue = max(self._queue, live.queue)
        self._busy = max(self._busy, busy)
        now = time.monotonic()
        if self.samples and now < self.samples[-1].time + STEP:
            return
        buckets = {key: tuple(counts) for key, counts in requests.buckets.items()}
        limit = live.queue_limit if live else 0
        self.samples.append(Sample(now, buckets, self._busy, threads, self._queue, limit))
        self._busy = self._queue = 0

    def last(self, seconds: float) -> Window | None:
        """The last seconds, or as many as there are; None before the first sample."""
        if not self.samples:
            return None
        last = self.samples[-1]
        return Window(next(s for s in self.samples if s.time > last.time - seconds - 1), last)

    def windows(self) -> Iterator[Window]:
        """From each sample to the next."""
        return itertools.starmap(Window, itertools.pairwise(self.samples))
