"""Sites with an exporter of metrics."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import ComposeSite, Serve, Site, free_port, until

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
        except httpx.HTTPError:
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

    def families(self) -> list[Metric]:
        """One scrape."""
        response = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False)
        return list(text_string_to_metric_families(response.text))

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
    return measured_site(shared_site, PROCESSES="sleeper=1")
