"""Sites with an exporter of metrics."""

import http.client
import itertools
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import ComposeSite, Serve, Site, free_port, until

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_GATES = itertools.count()
APPS = Path(__file__).parent / "apps"
APP = APPS / "measured.py"


class Measured:
    """A site, and what its exporter says."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.url = f"http://127.0.0.1:{port}"
        until(self._is_up, "the exporter", 120)

    def _is_up(self) -> bool:
        try:
            return self.value("uwsgi_up") == 1
        except (OSError, http.client.HTTPException):
            return False

    @contextmanager
    def in_flight(self, query: str = "", view: str = "wait") -> Iterator[str]:
        """A request that waits until the end of the block: its path."""
        name = f"gate-{next(_GATES)}"
        path = f"/path/second/{view}/{name}"
        with ThreadPoolExecutor(1) as client:
            response = client.submit(self.site.ask, path + query)
            try:
                yield path
            finally:
                self._open(name)
            assert response.result().status == 200

    def _open(self, gate: str) -> None:
        if isinstance(self.site, ComposeSite):
            self.site.compose("exec", "-T", "app", "touch", f"/app/instance/{gate}")
        else:
            (self.site.folder / "instance" / gate).touch()

    def deploy(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `python -m deploy ...` in the site's folder."""
        return subprocess.run(
            [sys.executable, "-m", "deploy", *words],
            cwd=self.site.folder,
            env=self.site.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Requests that keep all workers computing until the end of the block."""
        over = threading.Event()

        def client(_: int) -> None:
            while not over.is_set():
                assert self.site.ask("/path/second/busy").status == 200

        with ThreadPoolExecutor(4) as clients:
            done = clients.map(client, range(4))
            try:
                yield
            finally:
                over.set()
            list(done)

    def flame_graph(self, graph: Path) -> set[str]:
        """The functions in a flame graph of a worker that computes."""
        words = "profile", "--seconds", "2", "--output", str(graph)
        # The first time, py-spy is installed.
        done = self.deploy(*words)
        assert not done.returncode or " was idle for 2 seconds; " in done.stderr, done.stderr
        with self.busy():
            done = self.deploy(*words)
        assert done.returncode == 0, done.stderr
        assert f"{graph} has the flame graph of worker " in done.stdout
        titles = ElementTree.parse(graph).iter("{http://www.w3.org/2000/svg}title")
        return {title.text.partition(" (")[0] for title in titles}

    def families(self) -> list[Metric]:
        """One scrape."""
        # Not httpx, which reads all certificates of this machine for each client.
        with _DIRECT.open(f"{self.url}/metrics", timeout=60) as response:
            return list(text_string_to_metric_families(response.read().decode()))

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for family in self.families()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until(self, expected: float, name: str, /, **labels: str) -> None:
        """Return when the sum has that value.

        Raises:
            TimeoutError: it does not come to that.
        """
        try:
            until(lambda: self.value(name, **labels) == expected, name)
        except TimeoutError:
            found = self.value(name, **labels)
            raise TimeoutError(f"{name}{labels} is {found} and not {expected}") from None


def measured_site(serve: Serve, kind: str = "host", **knobs: str | int) -> Measured:
    """Start a site with the app at /path and at /path/second.

    What waits for its start requests the first mount, so tests count at the second.
    """
    port = free_port()
    mounts = "/path=measured:app /path/second=measured:app"
    settings = {"MOUNTS": mounts, "WORKERS": 2, "THREADS": 4, "METRICS_PORT": port} | knobs
    return Measured(serve(kind, files=(APP, APPS / "Procfile"), **settings), port)


@pytest.fixture(scope="session")
def measured(shared_site: Serve) -> Measured:
    """A site for many tests, with a process beside it. Do not break it."""
    # A long timeout, for requests that wait for a command on a busy machine.
    return measured_site(shared_site, PROCESSES="sleeper=1", REQUEST_TIMEOUT=600)
