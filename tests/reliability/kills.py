"""What a signal does to a process of a site, and to the requests: the rows of docs/reliability.md.

Each row is measured with requests in flight, which wait until a gate is opened, and under a light
load.
"""

import contextlib
import http.client
import itertools
import signal
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers import ComposeSite, HostSite, Site, is_brief, until
from tests.workers.lab import APPS

SECONDS = 60  # the most that anything takes on a busy machine
WORKERS, THREADS = 2, 4
IN_FLIGHT = 6  # more than one worker has threads
CLIENTS = 2  # of the load
STOPPED = 2  # seconds between SIGSTOP and SIGCONT

# What becomes of requests in flight, and of the site.
FINISH, FAIL, ONE_WORKER = "finish", "fail", "fail in that worker"
GOES_ON, REPLACES, RELOADS, ENDS = "goes on", "replaces it", "reloads", "ends"

SERVE, FILTER = "`serve`", "log filter of nginx"
NGINX, NGINX_WORKER = "nginx master", "nginx worker"
UWSGI, UWSGI_WORKER = "uWSGI master", "uWSGI worker"


@dataclass(frozen=True)
class Row:
    """A row.

    Args:
        kind: of site: "host" or "compose".
        process: which one gets the signal.
        number: the signal; SIGCONT follows SIGSTOP.
        in_flight: what becomes of the requests in flight.
        site: what becomes of the site: of both containers, the one with the process.
    """

    kind: str
    process: str
    number: signal.Signals
    in_flight: str
    site: str

    @property
    def signals(self) -> str:
        """The signals as people write them."""
        return "SIGSTOP, SIGCONT" if self.number == signal.SIGSTOP else self.number.name


_HOST = {
    SERVE: {
        "TERM": (FINISH, ENDS),
        "HUP": (FINISH, ENDS),
        "QUIT": (FINISH, ENDS),
        "KILL": (FINISH, ENDS),
        "STOP": (FINISH, GOES_ON),
    },
    NGINX: {
        "TERM": (FAIL, ENDS),
        "HUP": (FINISH, RELOADS),
        "QUIT": (FINISH, ENDS),
        "KILL": (FINISH, ENDS),
        "STOP": (FINISH, GOES_ON),
    },
    NGINX_WORKER: {
        "TERM": (ONE_WORKER, REPLACES),
        "HUP": (FINISH, GOES_ON),
        "QUIT": (FINISH, REPLACES),
        "KILL": (ONE_WORKER, REPLACES),
        "STOP": (FINISH, GOES_ON),
    },
    FILTER: {
        "TERM": (FINISH, REPLACES),
        "HUP": (FINISH, REPLACES),
        "QUIT": (FINISH, GOES_ON),
        "KILL": (FINISH, REPLACES),
        "STOP": (FINISH, GOES_ON),
    },
    UWSGI: {
        "TERM": (FINISH, ENDS),
        "HUP": (FINISH, RELOADS),
        "QUIT": (FINISH, ENDS),
        "KILL": (FAIL, ENDS),
        "STOP": (FINISH, GOES_ON),
    },
    UWSGI_WORKER: {
        "TERM": (FINISH, REPLACES),
        "HUP": (FINISH, REPLACES),
        "QUIT": (FINISH, REPLACES),
        "KILL": (ONE_WORKER, REPLACES),
        "STOP": (FINISH, GOES_ON),
    },
}
_COMPOSE = {
    NGINX: {"TERM": (FAIL, ENDS), "HUP": (FINISH, RELOADS), "KILL": (FAIL, ENDS)},
    NGINX_WORKER: {"KILL": (ONE_WORKER, REPLACES)},
    UWSGI: {"TERM": (FINISH, ENDS), "HUP": (FINISH, RELOADS), "KILL": (FAIL, ENDS)},
    UWSGI_WORKER: {"KILL": (ONE_WORKER, REPLACES)},
}
ROWS = [
    Row(kind, process, signal.Signals[f"SIG{name}"], *becomes)
    for kind, processes in (("host", _HOST), ("compose", _COMPOSE))
    for process, signals in processes.items()
    for name, becomes in signals.items()
]


@dataclass(frozen=True)
class Outcome:
    """What happened.

    Args:
        in_flight: the status of each request in flight, or the name of its exception.
        load: the same of each request of the load.
        ended: whether the site has ended.
        left: the processes that are still there after that.
        pause: seconds until the next 200; of a site that has ended, after it was started again.
    """

    in_flight: list[int | str]
    load: list[int | str]
    ended: bool
    left: list[str]
    pause: float

    @property
    def lost(self) -> int:
        """How many of the requests in flight failed."""
        return sum(status != 200 for status in self.in_flight)


class Victim(ABC):
    """A site whose processes get signals.

    Args:
        site: with the app in `tests/workers/apps/lab.py`.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._clients = ThreadPoolExecutor(IN_FLIGHT + CLIENTS)

    @abstractmethod
    def shut_the_gate(self) -> None:
        """Make requests wait, and count them anew."""

    @abstractmethod
    def open_the_gate(self) -> None:
        """Let requests go on."""

    @abstractmethod
    def counted(self) -> int:
        """How many requests have come to the gate."""

    @abstractmethod
    def prepare(self, row: Row) -> Callable[[signal.Signals], None]:
        """Find the process of a row, and return what sends that a signal."""

    @abstractmethod
    def is_whole(self) -> bool:
        """Whether all of its processes are there, and those that had to end have ended."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the site, or one of its containers, does not run."""

    @abstractmethod
    def end(self) -> list[str]:
        """Wait until a site that ends has ended. What is left of it."""

    @abstractmethod
    def start_again(self) -> None:
        """Start it when it has ended."""

    def measure(self, row: Row) -> Outcome:
        """Send the signal of a row, and see what happens."""
        if self.has_ended():  # a row before this one has failed
            self.start_again()
        self.shut_the_gate()
        send = self.prepare(row)
        with self._load() as load:
            waiting = [
                self._clients.submit(self._status, "/count?gate=1", "POST")
                for _ in range(IN_FLIGHT)
            ]
            until(lambda: self.counted() == IN_FLIGHT, "requests in flight", SECONDS)
            until(lambda: load, "a load", SECONDS)
            send(row.number)
            began = time.monotonic()
            if row.number == signal.SIGSTOP:
                time.sleep(STOPPED)
                send(signal.SIGCONT)
            elif row.site == ENDS:
                until(lambda: any(s != 200 for _, s in load), "the end to begin", SECONDS)
            else:
                time.sleep(0.1)
            self.open_the_gate()
            in_flight = [request.result() for request in waiting]
            if row.site != ENDS:
                until(self.is_whole, "all processes", SECONDS)
                after = time.monotonic()
                until(lambda: load[-1][0] > after, "a load", SECONDS)
        left, pause = [], self._longest(load, began)
        if row.site == ENDS:
            left = self.end()
            began = time.monotonic()
            self.start_again()
            pause = time.monotonic() - began
        assert self._status("/") == 200
        return Outcome(in_flight, [s for _, s in load], row.site == ENDS, left, pause)

    @contextlib.contextmanager
    def _load(self) -> Iterator[list[tuple[float, int | str]]]:
        """Clients that ask one request after the other: when each ended, and how."""
        load: list[tuple[float, int | str]] = []
        done = threading.Event()

        def visit() -> None:
            while not done.is_set():
                status = self._status("/")
                load.append((time.monotonic(), status))
                done.wait(0.02)

        visits: list[Future] = [self._clients.submit(visit) for _ in range(CLIENTS)]
        try:
            yield load
        finally:
            done.set()
            for each in visits:
                each.result()

    def _status(self, path: str, method: str = "GET") -> int | str:
        try:
            return self.site.ask(f"/path{path}", method=method).status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__

    @staticmethod
    def _longest(load: list[tuple[float, int | str]], since: float) -> float:
        """The longest time without a 200."""
        good = [since, *(when for when, status in load if status == 200 and when > since)]
        return max((after - before for before, after in itertools.pairwise(good)), default=0)

    def close(self) -> None:
        """Let the clients go."""
        self.open_the_gate()
        self._clients.shutdown()


class OnHost(Victim):
    """One on this machine."""

    site: HostSite

    def __init__(self, site: HostSite) -> None:
        super().__init__(site)
        self._count = Path(site.environment["COUNT"])
        self._before: list[psutil.Process] = []
        self._old: list[psutil.Process] = []

    def shut_the_gate(self) -> None:
        self._count.with_name("gate").unlink(missing_ok=True)
        self._count.write_bytes(b"")

    def open_the_gate(self) -> None:
        self._count.with_name("gate").touch()

    def counted(self) -> int:
        return self._count.stat().st_size

    def prepare(self, row: Row) -> Callable[[signal.Signals], None]:
        until(self.is_whole, "all processes", SECONDS)
        self._before = self.site.processes()
        target = self._processes()[row.process][0]
        self._old = {REPLACES: [target], RELOADS: target.children()}.get(row.site, [])
        return target.send_signal

    def is_whole(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = self._processes()
            whole = all(found.values()) and len(found[UWSGI_WORKER]) == WORKERS
            return whole and not any(process.is_running() for process in self._old)
        return False

    def has_ended(self) -> bool:
        return self.site.process.poll() is not None

    def end(self) -> list[str]:
        self.site.wait(SECONDS)
        _, left = psutil.wait_procs(self._before, timeout=SECONDS)
        return [str(process) for process in left]

    def start_again(self) -> None:
        self.site.start()

    def _processes(self) -> dict[str, list[psutil.Process]]:
        serve = psutil.Process(self.site.process.pid)
        # A uWSGI that has reloaded itself has Python's name.
        uwsgi = [p for p in serve.children() if any("uwsgi.ini" in w for w in p.cmdline())]
        script = [p for p in serve.children() if p not in uwsgi and p.name() == "start.sh"]
        below = [p for each in script for p in each.children(recursive=True) if not is_brief(p)]
        nginx = [p for p in below if p.name() == "nginx"]
        return {
            SERVE: [serve],
            NGINX: [p for p in nginx if p.parent() not in nginx],
            NGINX_WORKER: [p for p in nginx if "worker process" in " ".join(p.cmdline())],
            UWSGI: uwsgi,
            UWSGI_WORKER: [p for each in uwsgi for p in each.children() if p.name() == each.name()],
            FILTER: [p for p in below if p.name() == "sed"],
        }


class InContainers(Victim):
    """One in containers; the first process of each is uWSGI's master, and nginx's start.sh."""

    site: ComposeSite

    def shut_the_gate(self) -> None:
        self._run("app", "rm -f /app/instance/gate; : >/app/instance/count")

    def open_the_gate(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # it was killed
            self._run("app", "touch /app/instance/gate")

    def counted(self) -> int:
        return int(self._run("app", "stat -c %s /app/instance/count"))

    def prepare(self, row: Row) -> Callable[[signal.Signals], None]:
        self._service = "nginx" if row.process in (NGINX, NGINX_WORKER) else "app"
        (container,) = self.site.containers(self._service)
        if row.process in (NGINX, UWSGI):
            return lambda number: _docker("kill", "--signal", number.name, container)
        pid = (
            self._run("nginx", "grep -sl 'nginx: worke[r]' /proc/[0-9]*/cmdline; :").split("/")[2]
            if row.process == NGINX_WORKER
            else self.site.ask("/path/").text
        )
        return lambda number: self._run(self._service, f"kill -{number} {pid}")

    def is_whole(self) -> bool:
        return not self.has_ended()

    def has_ended(self) -> bool:
        containers = self.site.containers("app", "nginx")
        running = [_docker("inspect", "--format", "{{.State.Running}}", c) for c in containers]
        return running != ["true\n", "true\n"]

    def end(self) -> list[str]:
        until(self.has_ended, "its end", SECONDS)
        return []

    def start_again(self) -> None:
        self.site.compose("up", "--detach", "--wait")

    def _run(self, service: str, script: str) -> str:
        (container,) = self.site.containers(service)
        return _docker("exec", container, "sh", "-c", script)


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def victim(kind: str) -> Iterator[Victim]:
    """Start a site of this kind."""
    knobs = {
        "files": [APPS / "lab.py"],
        "MOUNTS": "/path=lab:app",
        "WORKERS": WORKERS,
        "THREADS": THREADS,
        "REQUEST_TIMEOUT": SECONDS,
    }
    with tempfile.TemporaryDirectory(prefix="kills") as folder:
        if kind == "host":
            site: Site = HostSite(**knobs, COUNT=f"{folder}/count")
        else:
            site = ComposeSite(**knobs, env_file="COUNT=/app/instance/count\n")
        with site:
            started = (OnHost if kind == "host" else InContainers)(site)
            yield started
            started.close()
