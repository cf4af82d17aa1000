"""Instances and workers, from uWSGI's stats servers."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess
from prometheus_client.core import (
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from deploy.server import instances, promotion
from deploy.server.metrics.families import counter, cumulative

# A file of an instance (deploy/server/uwsgi.py).
_RELEASE = "release"
# Why a worker is replaced (deploy/worker/guard.py): rules and dashboards look for them.
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

    def release(self) -> str:
        """The live instance's release; empty if it has none."""
        try:
            return (self.app_metrics / self.live / _RELEASE).read_text()
        except OSError:
            return ""

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
        if self.live_since:
            yield GaugeMetricFamily(
                "uwsgi_live_since_seconds", "When it went live (Unix time).", self.live_since
            )
        for name, (metric, text) in _COUNTERS.items():
            found = {key[1:]: n for key, n in self.totals.items() if key[0] == name}
            yield counter(f"uwsgi_worker_{metric}", text, ("worker_id",), found)
        yield counter(
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
            cumulative(self.queue_bounds, [*queue, self.totals["queued", "inf"]]),
            self.totals["queue_time",] / 1000,
        )
        yield counter(
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
        for name, text, count in (
            ("cores", "Threads.", lambda core: 1),
            ("busy_cores", "Threads that have a request.", lambda core: core["in_request"]),
            (
                "streaming_cores",
                "Threads whose response has begun and goes on: streams.",
                lambda core: core.get("streaming", 0),  # not in an instance of an earlier release
            ),
        ):
            found = GaugeMetricFamily(f"uwsgi_worker_{name}", text, labels=("worker_id",))
            for worker in workers:
                found.add_metric((str(worker["id"]),), sum(map(count, worker["cores"])))
            yield found


def read_all(sockets: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stats of all instances that respond."""
    for path in sockets.glob("*.stats"):
        with contextlib.suppress(OSError, ValueError):
            yield path.stem, instances.read_stats(path)


def _increase(now: int, before: int) -> int:
    """How much a counter has grown. One that is lower than before has begun again."""
    return now - before if now >= before else now
