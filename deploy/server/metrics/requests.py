"""Requests, from the lines that nginx logs for the exporter (``nginx/modes/metrics.conf``)."""

import itertools
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from deploy.server.metrics.families import counter, cumulative

# Upper bounds of response times, in milliseconds: those of prometheus_client, and two more.
BOUNDS = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000, 30_000, 60_000)
# Other methods are counted as "other": a client may send any number of them.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# What rules and dashboards look for.
_STATUSES = ("200", "500", "502", "503", "504")


# Errors that are kept, and characters of a path.
_ERRORS, _LONGEST = 20, 200


@dataclass(frozen=True)
class Error:
    """A response with a status of 500 or more.

    Args:
        time: of its end, in seconds of the epoch.
        status: its status.
        seconds: from the first byte of the request to the last one of the response.
        id: X-Request-ID.
        line: method and path, without the query, which may contain secrets.
    """

    time: float
    status: int
    seconds: float
    id: str
    line: str


class Requests:
    """What nginx has logged, in counters.

    Args:
        mounts: paths of all mounts.
    """

    def __init__(self, mounts: Iterable[str]) -> None:
        # From 0, since Prometheus does not see an increase in the first value of a series.
        self.counts: Counter[tuple[str, str, str]] = Counter(
            dict.fromkeys(itertools.product(mounts, ("GET", "POST"), _STATUSES), 0)
        )
        self.buckets: dict[tuple[str, str], list[int]] = defaultdict(
            lambda: [0] * (len(BOUNDS) + 1)
        )
        self.milliseconds: Counter[tuple[str, str]] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.expired: Counter[str] = Counter()
        self.cache: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self.certificate_expiry = 0
        self.connections: dict[str, int] = {}
        self.errors: deque[Error] = deque(maxlen=_ERRORS)

    def add(self, lines: bytes) -> None:
        """Count the requests in whole lines.

        Under load most lines are the same: each different one is parsed once.
        """
        for line, number in Counter(lines.decode(errors="replace").split("\n")).items():
            match line.split(" "):
                case ["failed", time, status, seconds, id, method, *path]:
                    text = f"{method} {' '.join(path)}"[:_LONGEST]
                    self.errors.append(Error(float(time), int(status), float(seconds), id, text))
                case [mount, *words] if len(words) == 7:
                    self._add(mount, *words, number)
                case ["lost", lost]:
                    self.lost += int(lost) * number
                case ["connections", active, reading, writing, waiting]:
                    # Without the one that asks.
                    self.connections = {
                        "active": int(active) - 1,
                        "reading": int(reading),
                        "writing": int(writing) - 1,
                        "waiting": int(waiting),
                    }
                case ["certificate", expiry]:
                    self.certificate_expiry = int(expiry)

    def _add(
        self,
        mount: str,
        method: str,
        status: str,
        cache: str,
        seconds: str,
        sent: str,
        received: str,
        redirect: str,
        number: int,
    ) -> None:
        milliseconds = round(float(seconds) * 1000)
        key = mount, f"{status[0]}xx"
        self.counts[mount, method if method in _METHODS else "other", status] += number
        self.buckets[key][bisect_left(BOUNDS, milliseconds)] += number
        self.milliseconds[key] += milliseconds * number
        self.sent[mount] += int(sent) * number
        self.received[mount] += int(received) * number
        if cache != "-":
            self.cache[mount, cache.lower()] += number
        if redirect == "@overloaded":
            self.expired[mount] += number

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        yield counter(
            "nginx_http_requests",
            "Requests. Expired and rejected ones are 503, those past REQUEST_TIMEOUT 504.",
            ("mount", "method", "status"),
            self.counts,
        )
        durations = HistogramMetricFamily(
            "nginx_http_request_duration_seconds",
            "From the first byte of the request to the last byte of the response.",
            labels=("mount", "status"),
        )
        for key, buckets in self.buckets.items():
            durations.add_metric(
                key, cumulative(BOUNDS, buckets), sum_value=self.milliseconds[key] / 1000
            )
        yield durations
        for name, text, counts in (
            ("sent_bytes", "Bytes of responses, with headers.", self.sent),
            ("received_bytes", "Bytes of requests, with headers.", self.received),
            ("expired", "Requests that waited too long, and were dropped (503).", self.expired),
        ):
            found = {(mount,): count for mount, count in counts.items()}
            yield counter(f"nginx_http_{name}", text, ("mount",), found)
        yield counter(
            "nginx_cache_requests",
            "Requests that passed nginx's cache, by $upstream_cache_status.",
            ("mount", "status"),
            self.cache,
        )
        lost = {(): self.lost}
        yield counter("nginx_log_lines_lost", "Requests that are not counted.", (), lost)
        for state, number in self.connections.items():
            yield GaugeMetricFamily(
                f"nginx_connections_{state}", f"Connections of clients ({state}).", number
            )
        if self.certificate_expiry:
            yield GaugeMetricFamily(
                "tls_certificate_expiry_timestamp_seconds",
                "End of the certificate's validity (Unix time).",
                value=self.certificate_expiry,
            )
