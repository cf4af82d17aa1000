"""Exporter of metrics for Prometheus: a process beside nginx and uWSGI.

It outlives instances of uWSGI, so its counters do not go back in a rollout. Requests come from
nginx, whose log lines ``nginx/metrics.pl`` sends to a unix socket; none is lost while the exporter
is started again. Threads, memory and the listen backlog come from uWSGI's stats server once a
second, under the names of ``uwsgi_exporter``: gauges of the live instance, counters of all.
"""

import contextlib
import itertools
import os
import selectors
import shutil
import socket
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app, multiprocess
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from deploy.problems import Refusal
from deploy.server import instances, promotion

# Seconds between two looks at uWSGI's stats.
_POLL_INTERVAL = 1
# Upper bounds of response times, in milliseconds: those of prometheus_client, and two more.
_BOUNDS = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000, 30_000, 60_000)
# Other methods are counted as "other": a client may send any number of them.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# What rules and dashboards look for.
_STATUSES = ("200", "500", "502", "503", "504")
_REASONS = ("timeout", "memory", "lifetime", "open files", "streams", "closed sockets")
# By their names in uWSGI's stats: the metric and what it is, of a gauge also its divisor.
_COUNTERS = {
    "requests": ("requests", "Requests that the app handled."),
    "exceptions": ("exceptions", "Uncaught exceptions."),
    "harakiri_count": ("harakiri_count", "Harakiri, which this bundle does not use."),
    "signals": ("signals", "uWSGI signals."),
    "respawn_count": ("respawn_count", "Starts of this worker."),
    "tx": ("transmitted_bytes", "Bytes sent to nginx."),
}
_GAUGES = {
    "accepting": ("accepting", 1, "Whether the worker accepts requests."),
    "delta_requests": ("delta_requests", 1, "Requests since the last start."),
    "signal_queue": ("signal_queue_length", 1, "Length of the signal queue."),
    "rss": ("rss_bytes", 1, "Resident memory."),
    "vsz": ("vsz_bytes", 1, "Virtual memory."),
    "running_time": ("running_time_seconds", 1e6, "Time in requests."),
    "last_spawn": ("last_spawn_time_seconds", 1, "When the worker was started (Unix time)."),
    "avg_rt": ("average_response_time_seconds", 1e6, "uWSGI's moving average."),
}


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
            lambda: [0] * (len(_BOUNDS) + 1)
        )
        self.milliseconds: Counter[tuple[str, str]] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.expired: Counter[str] = Counter()
        self.cache: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self.certificate_expiry = 0

    def add(self, lines: bytes) -> None:
        """Count the requests in whole lines.

        Under load most lines are the same: each different one is parsed once.
        """
        for line, number in Counter(lines.decode(errors="replace").split("\n")).items():
            match line.split(" "):
                case [mount, *words] if len(words) == 7:
                    self._add(mount, *words, number)
                case ["lost", lost]:
                    self.lost += int(lost) * number
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
        self.buckets[key][bisect_left(_BOUNDS, milliseconds)] += number
        self.milliseconds[key] += milliseconds * number
        self.sent[mount] += int(sent) * number
        self.received[mount] += int(received) * number
        if cache != "-":
            self.cache[mount, cache.lower()] += number
        if redirect == "@overloaded":
            self.expired[mount] += number

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        yield _counter(
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
                key, _cumulative(_BOUNDS, buckets), sum_value=self.milliseconds[key] / 1000
            )
        yield durations
        for name, text, counts in (
            ("sent_bytes", "Bytes of responses, with headers.", self.sent),
            ("received_bytes", "Bytes of requests, with headers.", self.received),
            ("expired", "Requests that waited too long, and were dropped (503).", self.expired),
        ):
            found = {(mount,): count for mount, count in counts.items()}
            yield _counter(f"nginx_http_{name}", text, ("mount",), found)
        yield _counter(
            "nginx_cache_requests",
            "Requests that passed nginx's cache, by $upstream_cache_status.",
            ("mount", "status"),
            self.cache,
        )
        lost = {(): self.lost}
        yield _counter("nginx_log_lines_lost", "Requests that are not counted.", (), lost)
        if self.certificate_expiry:
            yield GaugeMetricFamily(
                "tls_certificate_expiry_timestamp_seconds",
                "End of the certificate's validity (Unix time).",
                value=self.certificate_expiry,
            )


class Instances:
    """The instances of uWSGI, by their stats.

    Args:
        sockets: the directory of their sockets.
        app_metrics: the directory of the apps' own metrics, a subdirectory for each instance.
    """

    def __init__(self, sockets: Path, app_metrics: Path) -> None:
        self.sockets = sockets
        self.app_metrics = app_metrics
        self.live = ""
        self.live_since = 0.0
        self.stats: dict[str, dict[str, Any]] = {}
        # The last known state of each worker, by instance and number.
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}
        self.totals: Counter[tuple[str, ...]] = Counter()
        self.replaced: Counter[tuple[str]] = Counter({(reason,): 0 for reason in _REASONS})
        self.queue_bounds: tuple[int, ...] = ()

    def take(self, found: dict[str, dict[str, Any]]) -> None:
        """Take the stats of all instances, and add to the counters what is new."""
        self.stats = found
        for instance, stats in found.items():
            for worker in stats["workers"]:
                past = self._workers.get((instance, worker["id"]), {})
                self._workers[instance, worker["id"]] = worker
                self._add(worker, past)
                if (pid := past.get("pid", 0)) not in {0, worker["pid"]}:
                    # Out of the gauges of live processes.
                    multiprocess.mark_process_dead(pid, str(self.app_metrics / instance))
        ended = {name for name, _ in self._workers if not self._exists(name)}
        self._workers = {key: one for key, one in self._workers.items() if key[0] not in ended}
        for instance in ended:
            shutil.rmtree(self.app_metrics / instance, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.live = promotion.live_instance(self.sockets)
            self.live_since = (self.sockets / "live.sock").lstat().st_mtime

    def _exists(self, instance: str) -> bool:
        return (self.sockets / f"{instance}.stats").exists()

    def _add(self, worker: dict[str, Any], past: dict[str, Any]) -> None:
        id = str(worker["id"])
        for name in _COUNTERS:
            self.totals[name, id] += _increase(worker[name], past.get(name, 0))
        for name in ("dropped_left", "dropped_expired", "queue_time"):
            self.totals[name,] += _increase(worker[name], past.get(name, 0))
        self.queue_bounds = tuple(int(bound) for bound in worker["queued"] if bound != "inf")
        for bound, count in worker["queued"].items():
            self.totals["queued", bound] += _increase(count, past.get("queued", {}).get(bound, 0))

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        live = self.stats.get(self.live)
        yield GaugeMetricFamily("uwsgi_up", "Whether the live instance responds.", bool(live))
        yield GaugeMetricFamily(
            "uwsgi_instances", "Instances that run: two in a rollout.", len(self.stats)
        )
        yield InfoMetricFamily(
            "uwsgi_live_instance", "The instance that is live.", {"name": self.live}
        )
        yield GaugeMetricFamily(
            "uwsgi_live_since_seconds", "When it went live (Unix time).", self.live_since
        )
        for name, (metric, text) in _COUNTERS.items():
            found = {key[1:]: n for key, n in self.totals.items() if key[0] == name}
            yield _counter(f"uwsgi_worker_{metric}", text, ("worker_id",), found)
        yield _counter(
            "uwsgi_requests_dropped",
            "Requests that were dropped in the listen backlog, without the app.",
            ("reason",),
            {
                ("client left",): self.totals["dropped_left",],
                ("expired",): self.totals["dropped_expired",],
            },
        )
        queue = [self.totals["queued", str(bound)] for bound in self.queue_bounds]
        yield HistogramMetricFamily(
            "uwsgi_queue_duration_seconds",
            "Time in the listen backlog.",
            _cumulative(self.queue_bounds, [*queue, self.totals["queued", "inf"]]),
            self.totals["queue_time",] / 1000,
        )
        yield _counter(
            "uwsgi_worker_replacements",
            "Workers that were replaced on purpose. Other respawns are crashes and kills.",
            ("reason",),
            self.replaced,
        )
        if live:
            yield from self._gauges(live)

    def _gauges(self, live: dict[str, Any]) -> Iterator[Metric]:
        backlog = live["sockets"][-1]  # the first one is for healthchecks
        workers = live["workers"]
        for name, value, text in (
            ("listen_queue_length", backlog["queue"], "Length of the listen backlog."),
            ("listen_queue_errors", live["listen_queue_errors"], "Errors of the listen backlog."),
            ("signal_queue_length", live["signal_queue"], "Length of the signal queue."),
            ("workers", len(workers), "Workers."),
        ):
            yield GaugeMetricFamily(f"uwsgi_{name}", text, value)
        for name, key, text in (
            ("queue_length", "queue", "Length of the listen backlog."),
            ("max_queue_length", "max_queue", "Limit of the listen backlog."),
        ):
            found = GaugeMetricFamily(f"uwsgi_socket_{name}", text, labels=("name", "proto"))
            for listening in live["sockets"]:
                kind = Path(listening["name"]).suffix.lstrip(".")
                found.add_metric((kind, listening["proto"]), listening[key])
            yield found
        for name, (metric, divisor, text) in _GAUGES.items():
            found = GaugeMetricFamily(f"uwsgi_worker_{metric}", text, labels=("worker_id",))
            for worker in workers:
                found.add_metric((str(worker["id"]),), worker[name] / divisor)
            yield found
        for state in ("busy", "idle", "cheap"):
            found = GaugeMetricFamily(
                f"uwsgi_worker_{state}", f"Whether the worker is {state}.", labels=("worker_id",)
            )
            for worker in workers:
                found.add_metric((str(worker["id"]),), worker["status"] == state)
            yield found
        cores = GaugeMetricFamily("uwsgi_worker_cores", "Threads.", labels=("worker_id",))
        busy = GaugeMetricFamily(
            "uwsgi_worker_busy_cores", "Threads that have a request.", labels=("worker_id",)
        )
        for worker in workers:
            cores.add_metric((str(worker["id"]),), len(worker["cores"]))
            busy.add_metric(
                (str(worker["id"]),), sum(core["in_request"] for core in worker["cores"])
            )
        yield from (cores, busy)


class Exporter:
    """The exporter's process.

    Args:
        run_dir: RUN_DIR.
        mounts: paths of all mounts.
    """

    def __init__(self, run_dir: Path, mounts: Iterable[str]) -> None:
        self._sockets = run_dir / "sockets"
        self._lock = threading.Lock()
        self.requests = Requests(mounts)
        self.instances = Instances(self._sockets, run_dir / "metrics")
        self._ready = selectors.DefaultSelector()

    def collect(self) -> Iterator[Metric]:
        """All metrics. A collector of prometheus_client."""
        with self._lock:
            found = [*self.requests.collect(), *self.instances.collect()]
            app_metrics = self.instances.app_metrics / self.instances.live
        yield from found
        if self.instances.live and app_metrics.is_dir():
            own = CollectorRegistry()
            multiprocess.MultiProcessCollector(own, str(app_metrics))
            yield from own.collect()

    def run(self, address: str, port: int) -> None:
        """Serve, for as long as this process lives.

        Raises:
            Refusal: it cannot listen there.
        """
        registry = CollectorRegistry()
        registry.register(self)
        try:
            server = make_server(
                address, port, make_wsgi_app(registry), _server_class(address), _Handler
            )
        except OSError as error:
            raise Refusal(
                f"METRICS_PORT is {port} on METRICS_ADDRESS {address}, which cannot be used"
                f" ({error.strerror}); choose another port, or stop what listens there. Requests"
                " are served without metrics."
            ) from None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._listen("metrics", socket.SOCK_STREAM, self._accept)
        self._listen("events", socket.SOCK_DGRAM, self._receive_event)
        due = time.monotonic()
        while True:
            for key, _ in self._ready.select(max(0, due - time.monotonic())):
                key.data(key.fileobj)
            if time.monotonic() >= due:
                due = time.monotonic() + _POLL_INTERVAL
                found = dict(read_all(self._sockets))
                with self._lock:
                    self.instances.take(found)

    def _listen(self, name: str, kind: int, handle: Any) -> None:
        path = self._sockets / name
        path.unlink(missing_ok=True)  # of one that was killed
        listening = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        listening.bind(str(path))
        path.chmod(0o660)  # nginx has the group
        if kind == socket.SOCK_STREAM:
            listening.listen()
        self._ready.register(listening, selectors.EVENT_READ, handle)

    def _accept(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        incomplete = bytearray()

        def receive(connection: socket.socket) -> None:
            try:
                data = connection.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self._ready.unregister(connection)
                connection.close()
                return
            lines, end, rest = data.rpartition(b"\n")
            if end:
                with self._lock, contextlib.suppress(ValueError):
                    self.requests.add(bytes(incomplete) + lines)
                incomplete.clear()
            incomplete.extend(rest)

        self._ready.register(connection, selectors.EVENT_READ, receive)

    def _receive_event(self, receiving: socket.socket) -> None:
        """Count a worker that was replaced: the guard sends why."""
        reason = receiving.recv(100).decode(errors="replace")
        with self._lock:
            self.instances.replaced[reason,] += 1


def read_all(sockets: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stats of all instances that respond."""
    for path in sockets.glob("*.stats"):
        with contextlib.suppress(OSError, ValueError):
            yield path.stem, instances.read_stats(path)


def _increase(now: int, before: int) -> int:
    """How much a counter has grown. One that is lower than before has begun again."""
    return now - before if now >= before else now


def _counter(name: str, text: str, labels: tuple[str, ...], counts: Any) -> CounterMetricFamily:
    found = CounterMetricFamily(name, text, labels=labels)
    for key, count in counts.items():
        found.add_metric(key, count)
    return found


def _cumulative(bounds: tuple[int, ...], counts: list[int]) -> list[tuple[str, int]]:
    """Buckets of a histogram, from milliseconds."""
    total, buckets = 0, []
    names = [str(bound / 1000) for bound in bounds]
    for name, count in zip([*names, "+Inf"], counts, strict=True):
        total += count
        buckets.append((name, total))
    return buckets


def _server_class(address: str) -> type[WSGIServer]:
    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    return Server


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """No line for each scrape."""


def run(address: str, port: int, run_dir: Path, mounts: Iterable[str]) -> None:
    """Run the exporter, once there is a directory for its sockets."""
    while not (run_dir / "sockets").is_dir():
        time.sleep(_POLL_INTERVAL)
    os.umask(0o007)
    Exporter(run_dir, mounts).run(address, port)
