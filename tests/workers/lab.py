"""A site whose workers get into trouble, and clients who count what becomes of requests."""

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.servers import HostSite, until

APPS = Path(__file__).parent / "apps"


class Lab:
    """A site with the app in `apps/lab.py` at /path, and clients for it."""

    def __init__(self, site: HostSite, count: Path) -> None:
        self.site = site
        self._count = count
        self._clients = ThreadPoolExecutor(2000)

    def status(self, path: str = "/", method: str = "GET") -> int | str:
        """What becomes of a request: the status, or the name of the exception."""
        try:
            return self.site.ask(f"/path{path}", method=method).status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__

    def at_once(self, number: int, path: str = "/", method: str = "GET") -> list[Future[int | str]]:
        """That many requests at a time, each on its way when this returns."""
        return [self._clients.submit(self.status, path, method) for _ in range(number)]

    @contextlib.contextmanager
    def load(self, clients: int = 8, method: str = "GET", path: str = "/") -> Iterator[Counter]:
        """Clients that ask one request after the other, until the block ends; counts by status."""
        counts: Counter = Counter()
        done = threading.Event()

        def visit() -> None:
            while not done.is_set():
                counts[self.status(path, method)] += 1

        visits = [self._clients.submit(visit) for _ in range(clients)]
        try:
            yield counts
        finally:
            done.set()
            for each in visits:
                each.result()

    @property
    def counted(self) -> int:
        """How often the view behind POST /count was run."""
        return self._count.stat().st_size

    def open_the_gate(self) -> None:
        """Let each POST /count?gate=1 go on."""
        self._count.with_name("gate").touch()

    @property
    def master(self) -> psutil.Process:
        """uWSGI's master."""
        children = psutil.Process(self.site.process.pid).children()
        return next(child for child in children if "uwsgi" in child.name())

    def workers(self) -> list[psutil.Process]:
        """uWSGI's workers."""
        return [child for child in self.master.children() if _is_uwsgi(child)]

    def connections(self) -> int:
        """The number of requests in the listen backlog or in flight."""
        path = str(self.site.folder / ".run" / "sockets" / "app-1.sock")
        lines = Path("/proc/net/unix").read_text().splitlines()
        return sum(line.endswith(path) for line in lines) - 1  # it listens itself

    def close(self) -> None:
        self._clients.shutdown()


def _is_uwsgi(process: psutil.Process) -> bool:
    try:
        return process.name() == "uwsgi"
    except psutil.NoSuchProcess:
        return False  # it has ended just now


def results(requests: list[Future]) -> Counter:
    """What became of requests, by status."""
    return Counter(request.result() for request in requests)


def gone(process: psutil.Process) -> bool:
    """Wait for the end of a process that is not this one's child."""
    return until(lambda: not process.is_running(), f"the end of {process}")


def suspend(process: psutil.Process) -> None:
    """Send SIGSTOP, and return once all of its threads have stopped."""
    process.suspend()
    files = [Path(f"/proc/{process.pid}/task/{thread.id}/stat") for thread in process.threads()]
    until(lambda: all(") T " in file.read_text() for file in files), f"a stop of {process}")
