"""Exporter of metrics for Prometheus: a process beside nginx and uWSGI.

It outlives instances of uWSGI, so its counters do not go back in a rollout. Requests come from
nginx, whose log lines ``nginx/metrics.pl`` sends to a unix socket; none is lost while the exporter
is started again. Threads, memory and the listen backlog come from uWSGI's stats server once a
second, under the names of ``uwsgi_exporter``: gauges of the live instance, counters of all.
"""

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from deploy.server import instances, process_states
from deploy.server.metrics import page, state, web
from deploy.server.metrics.history import History
from deploy.server.metrics.requests import Requests
from deploy.server.metrics.state import State
from deploy.server.metrics.workers import Instances, read_all

# Seconds between two looks at uWSGI's stats.
_POLL_INTERVAL = 1


class Exporter:
    """The exporter's process.

    Args:
        run_dir: RUN_DIR.
        mounts: paths of all mounts.
    """

    def __init__(self, run_dir: Path, mounts: Iterable[str]) -> None:
        self._sockets = run_dir / "sockets"
        self._processes = run_dir / "processes"
        self._mounts = list(mounts)
        self._lock = threading.Lock()
        self.requests = Requests(self._mounts)
        self.instances = Instances(self._sockets, run_dir / "metrics")
        self.history = History()
        self._ready = selectors.DefaultSelector()

    def collect(self) -> Iterator[Metric]:
        """All metrics. A collector of prometheus_client."""
        with self._lock:
            found = [*self.requests.collect(), *self.instances.collect()]
            app_metrics = self.instances.app_metrics / self.instances.live
        yield from found
        yield from self._collect_processes()
        if self.instances.live and app_metrics.is_dir():
            own = CollectorRegistry()
            multiprocess.MultiProcessCollector(own, str(app_metrics))
            yield from own.collect()

    def _collect_processes(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "procfile_process_up", "Whether a process of the Procfile runs.", labels=("process",)
        )
        ends = CounterMetricFamily(
            "procfile_process_ends", "How often it has ended by itself.", labels=("process",)
        )
        for process in process_states.read_all(self._processes):
            up.add_metric((process.name,), process.up)
            ends.add_metric((process.name,), process.ends)
        yield from (up, ends)

    def state(self) -> State:
        """The state, for people and programs."""
        with self._lock:
            live, others = self.instances.live, self.instances.stats.keys()
            return State(
                live=self._live(),
                release=self.instances.release(),
                others=sorted(others - {live}),
                recent=state.recent("", self.requests, self.history),
                mounts=[
                    state.recent(mount, self.requests, self.history)
                    for mount in [*self._mounts, "none"]
                ],
                errors=list(reversed(self.requests.errors)),
                connections=self.requests.connections,
                certificate_expiry=self.requests.certificate_expiry,
                processes=list(process_states.read_all(self._processes)),
            )

    def page(self) -> str:
        """The status page."""
        current = self.state()
        with self._lock:
            windows = list(self.history.windows())
        return page.page(current, windows)

    def _live(self) -> instances.Instance | None:
        name, since = self.instances.live, self.instances.live_since
        stats = self.instances.stats.get(name)
        return instances.from_stats(name, stats, since) if stats else None

    def run(self, address: str, port: int) -> None:
        """Serve, for as long as this process lives.

        Raises:
            Refusal: it cannot listen there.
        """
        pages = {
            "/": ("text/html", self.page),
            "/status.json": ("application/json", lambda: json.dumps(asdict(self.state()))),
        }
        web.start(address, port, self, pages)
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
                    self.history.take(self.requests, self._live())

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


def run(address: str, port: int, run_dir: Path, mounts: Iterable[str]) -> None:
    """Run the exporter, once there is a directory for its sockets."""
    while not (run_dir / "sockets").is_dir():
        time.sleep(_POLL_INTERVAL)
    os.umask(0o007)
    Exporter(run_dir, mounts).run(address, port)
