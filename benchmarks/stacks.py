"""What is compared: servers, each with the measured app, on this machine."""

import os
import resource
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import psutil

from benchmarks import endpoints, inprocess, load, usage
from benchmarks.endpoints import ENDPOINTS, Endpoint
from benchmarks.places import InContainers, Place, Program
from benchmarks.results import Sample
from tests.servers import KNOBS, PROJECT, NotServedError, free_port, until

_HERE = Path(__file__).parent
_NONE: Mapping[str, str] = MappingProxyType({})
# Requests, clients and their files: what nginx asks for itself, others have to be given.
_OPEN_FILES = 16_384
_WARM_UP = 200  # requests before a server's first load of a kind


@dataclass(frozen=True)
class Scale:
    """How many workers, and how many threads in each."""

    workers: int
    threads: int


class Stack(ABC):
    """A way to serve the measured app; up for as long as the block lasts.

    Args:
        scale: its workers and threads.
        place: where it runs.
        timeout: seconds after which its nginx sends a 504.

    Raises:
        NotServedError: it does not start.
    """

    name: str
    behind_nginx = True
    mount = "/path"
    logs = "nginx"
    serves: tuple[Endpoint, ...] = ENDPOINTS

    def __init__(self, scale: Scale, place: Place, timeout: int = 60) -> None:
        self.scale, self.place, self.timeout = scale, place, timeout
        self.port = 0
        self.seconds = 0.0  # from its start to its first response
        self._rates: dict[tuple[Endpoint, int], float] = {}

    @property
    def url(self) -> str:
        """Where the app is mounted."""
        return f"http://127.0.0.1:{self.port}{self.mount}"

    @abstractmethod
    def prepare(self) -> None:
        """Lay out what it needs, before the clock runs."""

    @abstractmethod
    def start(self) -> None:
        """Start what it consists of."""

    @abstractmethod
    def stop(self) -> None:
        """Leave nothing of it."""

    @abstractmethod
    def roots(self) -> list[int]:
        """The processes that were started here; all others descend from them."""

    def log(self) -> str:
        """What it has said so far."""
        return ""

    def log_files(self) -> Iterable[Path]:
        """The files that grow with each request."""
        return ()

    def check(self, endpoint: Endpoint) -> None:
        """Send one request, and check the response.

        Raises:
            WrongResponseError: it is not the expected one.
            OSError: there is no response.
        """
        load.check(self.port, self.mount, endpoint)

    def is_up(self) -> bool:
        """Whether it sends the expected response."""
        try:
            self.check(self.serves[0])
        except (OSError, load.WrongResponseError):
            return False
        return True

    def processes(self) -> dict[str, list[int]]:
        """Its processes by their part: `nginx`, `app`, or `supervisor`, which watches both."""
        parts = defaultdict(list)
        for root in self._roots:
            for process in usage.tree(root):
                try:
                    parts[self._part(process)].append(process.pid)
                except psutil.NoSuchProcess:
                    continue
        return dict(parts)

    def pids(self) -> list[int]:
        """All of its processes."""
        return [pid for part in self.processes().values() for pid in part]

    def memory(self) -> dict[str, int]:
        """Bytes of memory by part."""
        return {part: usage.memory(pids) for part, pids in self.processes().items()}

    def sample(self, endpoint: Endpoint, connections: int, seconds: float) -> Sample:
        """Its usage under a load of about that duration.

        Raises:
            NoLoadError: the server does not accept connections.
        """
        cell = endpoint, connections
        if cell not in self._rates:  # and warm up
            few = load.run(self.url, endpoint, connections, _WARM_UP)
            self._rates[cell] = few.requests / few.seconds
        requests = max(2 * connections, int(self._rates[cell] * seconds))
        pids = self.pids()
        switches, cpu = usage.switches(pids), usage.cpu(pids)
        began, busy = time.monotonic(), usage.busy()
        done = load.run(self.url, endpoint, connections, requests)
        all_cpus, busy = (time.monotonic() - began) * usage.CPUS, usage.busy() - busy
        parts = self.processes()  # some servers start more processes under load
        pids = [pid for part in parts.values() for pid in part]
        cpu_after, switches_after = usage.cpu(pids), usage.switches(pids)

        def switched(part: str, kind: int) -> int:
            then, now = switches, switches_after
            return sum(now[pid][kind] - then.get(pid, (0, 0))[kind] for pid in parts[part])

        taken = {
            part: sum(cpu_after.get(pid, 0) - cpu.get(pid, 0) for pid in pids) / 1e9
            for part, pids in parts.items()
        }
        return Sample(
            stack=self.name,
            workers=self.scale.workers,
            requests=done.requests,
            errors=done.errors,
            seconds=done.seconds,
            p50=done.p50,
            p99=done.p99,
            cpu=taken,
            wakeups={part: switched(part, 0) for part in parts},
            preemptions={part: switched(part, 1) for part in parts},
            foreign=max(0, busy - sum(taken.values()) - done.client_cpu) / all_cpus,
        )

    def forget_logs(self) -> None:
        """Empty the log files, so that a long run does not fill the disk."""
        for file in self.log_files():
            if file.exists():
                os.truncate(file, 0)

    def __enter__(self) -> Self:
        """Return when it is up."""
        self.prepare()
        try:
            began = time.monotonic()
            self.start()
            until(self.is_up, f"{self.name} to respond", 30)
            self.seconds = time.monotonic() - began
            self._roots = self.roots()
        except TimeoutError as error:
            said = self.log()
            self.stop()
            raise NotServedError(f"{error}\n{said}") from None
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it."""
        self.stop()

    @staticmethod
    def _part(process: psutil.Process) -> str:
        if process.name() == "nginx":
            return "nginx"
        return "supervisor" if process.cmdline()[1:4] == ["-m", "deploy", "serve"] else "app"


class Ours(Stack):
    """This bundle: `make serve`, or `docker compose up`, in a copy of the project."""

    name = "ours"
    target = "measured:app"

    def __init__(
        self, scale: Scale, place: Place, timeout: int = 60, settings: Mapping[str, str] = _NONE
    ) -> None:
        super().__init__(scale, place, timeout)
        self._settings = settings
        if settings:
            self.name = " ".join(f"{name}={value}" for name, value in settings.items())

    def prepare(self) -> None:
        """Copy the project, with the measured app beside it."""
        with tempfile.TemporaryDirectory() as folder:
            place_app(Path(folder))
            settings = {
                "MOUNTS": f"{self.mount}={self.target}",
                "WORKERS": self.scale.workers,
                "THREADS": self.scale.threads,
                "REQUEST_TIMEOUT": self.timeout,
            }
            self._site = self.place.site(
                files=[Path(folder, "measured")], **settings | dict(self._settings)
            )
        self.port = self._site.port

    def start(self) -> None:
        """Start it."""
        self._site.start()

    def stop(self) -> None:
        """Stop it."""
        self._site.clean_up()

    @property
    def sockets(self) -> Path:
        """Where its sockets are, on the machine itself."""
        return self._site.folder / ".run" / "sockets"

    def roots(self) -> list[int]:
        """`python -m deploy serve`, or the first process of each container."""
        return self.place.roots(self._site)

    def log(self) -> str:
        """All that nginx and uWSGI have said."""
        return self._site.logs()

    def log_files(self) -> Iterable[Path]:
        """What would be the terminal, on the machine itself."""
        return [self._site.folder / f"{self.port}.log"]


class OursBare(Ours):
    """This bundle without Flask: what it costs by itself."""

    name = "ours, a bare WSGI callable"
    target = "measured.bare:application"
    serves = (endpoints.TINY,)


class Peer(Stack):
    """Programs in a folder of their own, one of them nginx unless it has no configuration."""

    configuration = "proxy.conf"

    @abstractmethod
    def commands(self) -> list[list[str]]:
        """What is to be started, besides nginx."""

    def environment(self) -> dict[str, str]:
        """What their environment has on top."""
        return {}

    def sockets(self) -> list[str]:
        """The unix sockets that nginx asks."""
        return ["app.sock"]

    def prepare(self) -> None:
        """Make the folder."""
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="peer"))
        self._programs: list[Program] = []
        place_app(self.folder)
        shutil.copytree(_HERE / "peers", self.folder, dirs_exist_ok=True)
        static = self.folder / "static" / self.mount.strip("/")
        shutil.copytree(self.folder / "measured" / "static", static / "static")
        paths = ("client_body", "proxy", "uwsgi", "fastcgi", "scgi")
        timeouts = (f"{protocol}_read_timeout {self.timeout}s;" for protocol in ("proxy", "uwsgi"))
        spools = (f"{path}_temp_path spool-{path};" for path in paths)
        self._write("http.conf", [*spools, *timeouts])
        self._write("listen.conf", [f"listen 127.0.0.1:{self.port};"])
        # Without max_fails=0, nginx asks none of several for 10 s once it has asked too early.
        self._write("app.conf", (f"server unix:{name} max_fails=0;" for name in self.sockets()))
        if isinstance(self.place, InContainers):
            # Where the bundle's containers log to.
            (self.folder / "access.log").symlink_to("/dev/stdout")

    def start(self) -> None:
        """Start it."""
        commands = self.commands()
        if self.configuration:
            # As root, nginx's workers would drop to a user without access to this directory.
            user = ["-g", "user root;"] if os.geteuid() == 0 else []
            where = ["-p", f"{self.folder}/", "-c", self.configuration, "-e", "error.log"]
            commands.append(["nginx", *where, *user])
        for command in commands:
            self._programs.append(self.place.program(command, self.folder, self.environment()))

    def stop(self) -> None:
        """Stop it."""
        for program in self._programs:
            program.stop()
        shutil.rmtree(self.folder)

    def roots(self) -> list[int]:
        """What was started."""
        return [program.root for program in self._programs]

    def log(self) -> str:
        """All that they have said."""
        errors = self.folder / "error.log"
        said = [errors.read_text(errors="replace")] if errors.exists() else []
        return "".join([*said, *(program.log() for program in self._programs)])

    def log_files(self) -> Iterable[Path]:
        """nginx's, and what the server writes to the terminal."""
        return [file for file in self.folder.glob("*.log") if not file.is_symlink()]

    def _write(self, name: str, lines: Iterable[str]) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n")


class UsualRecipe(Peer):
    """uWSGI and nginx as most pages on the web set them up."""

    name = "usual recipe"
    configuration = "usual.conf"
    logs = "nginx and uWSGI"

    def commands(self) -> list[list[str]]:
        """uWSGI."""
        mount = ["--manage-script-name", "--mount", "/path=measured:app"]
        scale = ["--workers", str(self.scale.workers), "--threads", str(self.scale.threads)]
        return [["uwsgi", "--socket", "app.sock", *mount, *scale]]


class Tiangolo(Peer):
    """The settings of tiangolo/uwsgi-nginx-flask; its workers are 2 to 16, without threads."""

    name = "tiangolo's settings"
    configuration = "tiangolo.conf"
    mount = ""
    logs = "nginx and uWSGI"

    def commands(self) -> list[list[str]]:
        """uWSGI."""
        return [["uwsgi", "--ini", "tiangolo.ini"]]


class Gunicorn(Peer):
    """gunicorn with threads, behind nginx."""

    name = "nginx + gunicorn gthread"

    def commands(self) -> list[list[str]]:
        """gunicorn."""
        scale = ["--workers", str(self.scale.workers), "--threads", str(self.scale.threads)]
        # Longer than nginx keeps a connection, so that none is closed just when it is used.
        keep_alive = ["--keep-alive", "75"]
        where = ["--bind", "unix:app.sock", "--worker-tmp-dir", "/dev/shm"]
        return [
            ["gunicorn", "--worker-class", "gthread", *scale, *keep_alive, *where, "measured:app"]
        ]

    def environment(self) -> dict[str, str]:
        """The mount."""
        return {"SCRIPT_NAME": self.mount}


class GunicornOverUwsgi(Gunicorn):
    """gunicorn behind this bundle's own nginx, by the uwsgi protocol."""

    name = "our nginx + gunicorn gthread"
    configuration = ""

    def prepare(self) -> None:
        """Lay out the directory that the bundle's nginx expects."""
        super().prepare()
        shutil.copytree(PROJECT / "nginx", self.folder / "bundle")
        (self.folder / "sockets").mkdir()
        (self.folder / "static" / "live").symlink_to(".")

    def commands(self) -> list[list[str]]:
        """gunicorn, and the bundle's nginx."""
        [gunicorn] = super().commands()
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        # nginx does not keep connections of this protocol alive.
        protocol = ["--protocol", "uwsgi", "--keep-alive", "0", "--bind", "unix:sockets/live.sock"]
        return [
            [*gunicorn[:-1], *protocol, gunicorn[-1]],
            ["sh", "bundle/start.sh", str(self.folder), *user],
        ]

    def environment(self) -> dict[str, str]:
        """The mount, and the settings of nginx."""
        listen = {"LISTEN": f"127.0.0.1:{self.port}", "LISTEN_TLS": "127.0.0.1:0"}
        settings = {"MOUNTS": f"{self.mount}=measured:app", "REQUEST_TIMEOUT": str(self.timeout)}
        return super().environment() | KNOBS | listen | settings


class Granian(Peer):
    """granian behind nginx."""

    name = "nginx + granian"

    def commands(self) -> list[list[str]]:
        """granian."""
        return [granian(self.scale, "--uds", "app.sock")]


class GranianAlone(Peer):
    """granian without nginx; it serves static files itself."""

    name = "granian alone"
    behind_nginx = False
    configuration = ""
    logs = "none"

    def commands(self) -> list[list[str]]:
        """granian."""
        static = ["--static-path-route", "/path/static", "--static-path-mount", "measured/static"]
        return [granian(self.scale, "--port", str(self.port), *static)]


def granian(scale: Scale, *options: str) -> list[str]:
    """The command that starts granian."""
    protocol = ["--interface", "wsgi", "--http", "1", "--no-ws", "--url-path-prefix", "/path"]
    numbers = ["--workers", str(scale.workers), "--blocking-threads", str(scale.threads)]
    return ["granian", *protocol, *numbers, *options, "measured:app"]


class Waitress(Peer):
    """waitress behind nginx. It is one process, so there are as many of it as others have."""

    name = "nginx + waitress"

    def commands(self) -> list[list[str]]:
        """waitress, once for each worker."""
        # Its default of 100 connections would be a limit for nginx.
        limits = ["--connection-limit", "1024", "--threads", str(self.scale.threads)]
        words = ["waitress-serve", "--url-prefix", self.mount, *limits]
        return [[*words, "--unix-socket", name, "measured:app"] for name in self.sockets()]

    def sockets(self) -> list[str]:
        """One for each worker."""
        return [f"app-{number}.sock" for number in range(self.scale.workers)]


class Bjoern(Peer):
    """bjoern without nginx; it has no threads."""

    name = "bjoern alone"
    behind_nginx = False
    configuration = ""
    mount = ""
    logs = "none"

    def commands(self) -> list[list[str]]:
        """bjoern."""
        return [["python", "bjoern_server.py", str(self.port), str(self.scale.workers)]]


class NginxAlone(Peer):
    """nginx and a file: what it costs by itself."""

    name = "nginx alone"
    serves = (endpoints.STATIC,)

    def commands(self) -> list[list[str]]:
        """Nothing else."""
        return []


class InProcess(Stack):
    """The app alone: called in a loop by as many processes as there are workers."""

    name = "in-process, no server"
    behind_nginx = False
    logs = "none"
    serves = endpoints.DYNAMIC

    def prepare(self) -> None:
        """Place the app."""
        self._folder = tempfile.TemporaryDirectory()
        place_app(Path(self._folder.name))

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Remove the app."""
        self._folder.cleanup()

    def roots(self) -> list[int]:
        """None: the processes only live for one measurement."""
        return []

    def check(self, endpoint: Endpoint) -> None:
        """The processes check their responses."""

    def sample(self, endpoint: Endpoint, connections: int, seconds: float) -> Sample:
        """Call the app in all processes at once."""
        folder = Path(self._folder.name)
        arguments = [str(seconds), "1", endpoint.method, endpoint.path]
        if endpoint.body:
            (folder / "body").write_bytes(endpoint.body)
            arguments += [endpoint.content_type, str(folder / "body")]
        command = self.place.in_process(folder, arguments)
        started = [
            subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(self.scale.workers)
        ]
        said = [process.communicate()[0] for process in started]
        found = [inprocess.RESULT.search(text) for text in said]
        if not all(found):
            raise load.NoLoadError(said[0].strip().splitlines()[-1])
        calls, cpu, time_taken = (
            sum(int(match[name]) for match in found) for name in ("calls", "cpu", "time")
        )
        return Sample(
            stack=self.name,
            workers=self.scale.workers,
            requests=calls,
            errors=0,
            seconds=time_taken / len(found) / 1e9,
            p50=0,
            p99=0,
            cpu={"app": cpu / 1e9},
            wakeups={},
            preemptions={},
            foreign=0,
        )


STACKS: tuple[type[Stack], ...] = (
    Ours,
    UsualRecipe,
    Gunicorn,
    GunicornOverUwsgi,
    Granian,
    Waitress,
    Tiangolo,
    GranianAlone,
    Bjoern,
    OursBare,
    NginxAlone,
    InProcess,
)


def place_app(folder: Path) -> None:
    """Put the measured app into a folder, with the file that is its static one."""
    from benchmarks.measured import app

    target = folder / "measured"
    shutil.copytree(_HERE / "measured", target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "static").mkdir()
    page = app.test_client().get("/template").data
    (target / "static" / endpoints.STATIC_PAGE).write_bytes(page)


@contextmanager
def many_open_files() -> Iterator[None]:
    """What is started in this block may have as many open files as a service has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
