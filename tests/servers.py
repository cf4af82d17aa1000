"""Sites for the tests: this bundle as it is here, really served, on this machine or in containers.

A site lives in a copy of the project in a folder of its own, so a test can put an app or a `.env`
beside it, and any number of sites run at once.
"""

import contextlib
import functools
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil

from deploy.settings import env_file

PROJECT = Path(__file__).resolve().parent.parent
FOREIGN_APPS = Path(__file__).with_name("foreign_apps")
KNOBS = env_file.read(PROJECT / "deploy" / "defaults.env")

# A line of the access log: nginx/snippets/log.conf.
ACCESS = re.compile(
    r"(?P<time>\d{4}-\S+) (?P<status>\d{3}) (?P<seconds>[\d.]+)s (?P<method>\S*) (?P<uri>.*)"
    r" \(id (?P<request_id>\w+), client (?P<client>[^, )]+)(?:, app (?P<app_seconds>.*)s)?\)$"
)
Seen = TypeVar("Seen")
# What the fixtures that start a site take: its kind, "host" or "compose", its files and its knobs.
Serve = Callable[..., "Site"]


class NotServedError(Exception):
    """A site that did not start, with all that it said."""


@dataclass(frozen=True)
class Response:
    """A complete response."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Site(ABC):
    """This bundle with some knobs turned, served once `start` has returned.

    Args:
        files: what lies beside `yourapplication` in this site; folders are copied whole.
        env_file: the lines of its `.env`.
        beside: another site, to share its folder.
        knobs: what its environment says; other knobs of the tester's own shell do not count.
    """

    def __init__(
        self,
        files: Iterable[Path] = (),
        env_file: str = "",
        beside: Self | None = None,
        **knobs: str | int,
    ) -> None:
        # A short name, since the path of a unix socket may have no more than 102 bytes.
        self._own_folder = None if beside else Path(tempfile.mkdtemp(prefix="site"))
        self.folder = beside.folder if beside else self._own_folder
        for name in _project_files() if self._own_folder else ():
            _copy(PROJECT / name, self.folder / name)
        for file in files:
            _copy(file, self.folder / file.name)
        if env_file:
            (self.folder / ".env").write_text(env_file)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"HTTP_PORT": self.port, **knobs}
        self.environment = {n: v for n, v in os.environ.items() if n not in KNOBS}
        self.environment |= {name: str(value) for name, value in settings.items()}

    @abstractmethod
    def start(self) -> None:
        """Return when it is up.

        Raises:
            NotServedError: it does not.
        """

    @abstractmethod
    def logs(self, *services: str) -> str:
        """All that nginx and the apps have said so far, or one of them where that can be told."""

    @abstractmethod
    def clean_up(self) -> None:
        """Leave nothing of it, in whatever state it is."""
        if self._own_folder:
            until(self._is_removed, f"the end of {self._own_folder}")

    def _is_removed(self) -> bool:
        # What has been killed may write a last file into it.
        shutil.rmtree(self._own_folder, ignore_errors=True)
        return not self._own_folder.exists()

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it."""
        self.clean_up()

    def client(self, **options: Any) -> httpx.Client:
        """A client with a cookie jar, that takes paths."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)

    def ask(
        self,
        target: str | bytes,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        method: str = "GET",
        body: bytes = b"",
    ) -> Response:
        """Send a request byte for byte, on a connection of its own.

        Args:
            target: what stands in the request line; nothing normalises or encodes it.
            headers: replace `Host`, or come on top of it and of `Content-Length`.
            method: the method.
            body: sent after the headers, with its length unless they say `Transfer-Encoding`.
        """
        lines = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in lines}
        if "host" not in names:
            lines.insert(0, ("Host", f"127.0.0.1:{self.port}"))
        if body and "transfer-encoding" not in names:
            lines.append(("Content-Length", str(len(body))))
        raw_target = target if isinstance(target, bytes) else target.encode()
        head = b"%s %s HTTP/1.1\r\n" % (method.encode(), raw_target)
        head += "".join(f"{name}: {value}\r\n" for name, value in lines).encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(head + b"Connection: close\r\n\r\n" + body)
            with http.client.HTTPResponse(connection, method=method) as response:
                response.begin()
                return Response(response.status, response.headers, response.read())

    def access(self, request_id: str) -> dict[str, Any]:
        """The line in nginx's access log of the request with this id."""

        def line() -> dict[str, Any] | None:
            lines = access_log(self.logs("nginx"))
            return next((line for line in lines if line["request_id"] == request_id), None)

        return until(line, f"a line with {request_id} in the access log")

    def reached_the_app(self, response: Response | httpx.Response) -> bool:
        """Whether this response is the app's."""
        return self.access(response.headers["X-Request-ID"])["app_seconds"] != ""


class HostSite(Site):
    """A site straight on this machine: `python -m deploy serve`, or another command of it."""

    def __init__(self, *args: Any, command: str = "serve", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / f"{self.port}.log"

    def command(self) -> list[str]:
        """What is run in the site's folder."""
        return [sys.executable, "-m", "deploy", self._command]

    def start(self) -> None:
        """Return when it is up."""
        # Appended to, since nginx opens the same file again as /dev/stdout.
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(lambda: self.process.poll() is not None or self._is_up(), "a response", 180)
        except TimeoutError:
            raise NotServedError(f"It never responds.\n{self.logs()}") from None
        if self.process.poll() is not None:
            raise NotServedError(f"It ended with {self.process.returncode}.\n{self.logs()}")

    def _is_up(self) -> bool:
        try:
            return bool(self.ask("/").status)
        except (OSError, http.client.HTTPException):
            return False

    def logs(self, *services: str) -> str:
        """All that was written to the terminal, by whomever."""
        return self._log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """The process and all of its children that do not end at any time."""
        parent = psutil.Process(self.process.pid)
        return [parent, *(p for p in parent.children(recursive=True) if not is_brief(p))]

    def workers(self) -> set[int]:
        """nginx's workers and uWSGI's processes: those that have to survive every request."""
        found = set()
        for process in self.processes():
            # What a hook of uWSGI has started ends in the meantime, or is a zombie.
            with contextlib.suppress(psutil.NoSuchProcess):
                name = process.name()
                if name == "uwsgi" or (name == "nginx" and "worker" in " ".join(process.cmdline())):
                    found.add(process.pid)
        return found

    def signal(self, number: int) -> None:
        """Send a signal as the system would: Ctrl-C reaches all that belong to the terminal."""
        send = os.killpg if number == signal.SIGINT else os.kill
        send(self.process.pid, number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end, and return the exit status."""
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        """Ctrl-C; what is left after that gets SIGKILL."""
        if self.process and self.process.poll() is None:
            processes = self.processes()
            self.signal(signal.SIGINT)
            _, left = psutil.wait_procs(processes, timeout=60)
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()
        super().clean_up()


class ComposeSite(Site):
    """A site in containers: `docker compose up --build --wait`, under a name of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = self.folder.name.replace("_", "-")
        self.environment["COMPOSE_PROJECT_NAME"] = self.name  # for the bundle's commands, too

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `docker compose` command for this site.

        Raises:
            NotServedError: it fails, and `check` is true.
        """
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.name, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=900,  # the first build on a machine compiles uWSGI
        )
        if check and done.returncode:
            raise NotServedError(f"docker compose {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done

    def start(self) -> None:
        """Return when both containers are healthy."""
        self.compose("build")
        done = self.compose("up", "--wait", check=False)
        if done.returncode:
            raise NotServedError(f"{done.stderr}\n{self.logs()}")

    def logs(self, *services: str) -> str:
        """What these services' containers said, or all."""
        # Not `docker compose logs`, which mixes the terminal's control characters into the lines.
        said = [
            subprocess.run(
                ["docker", "logs", container],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            ).stdout
            for container in self.containers(*services)
        ]
        return "".join(said)

    def containers(self, *services: str) -> list[str]:
        """The ids of these services' containers, or of all; running or not."""
        # Not `docker compose ps`, which takes several times as long.
        found: list[str] = []
        for service in services or ("app", "nginx"):
            wanted = {"project": self.name, "service": service}
            filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in wanted.items()]
            command = ["docker", "ps", "--all", "--quiet", "--no-trunc", *filters]
            found += subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.split()
        return found

    def clean_up(self) -> None:
        """Remove containers, networks, volumes, and the images that were built for it."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5")
        super().clean_up()


def access_log(log: str) -> list[dict[str, Any]]:
    """The lines of nginx's access log, with LOG_FORMAT=text or json."""
    found = []
    for line in log.splitlines():
        if match := ACCESS.match(line):
            numbers = {"status": int(match["status"]), "seconds": float(match["seconds"])}
            found.append(match.groupdict("") | numbers)
        elif line.startswith('{"time":"') and '"seconds":' in line:
            found.append(json.loads(line))
    return found


def other_lines(log: str) -> list[str]:
    """The lines of everything but nginx's access log."""
    return [line for line in log.splitlines() if not access_log(line)]


def is_brief(process: psutil.Process) -> bool:
    """Whether it ends at any time: a hook of uWSGI, or a pause of nginx/start.sh."""
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return True
    return command == ["sleep", "5"] or any("promote" in word for word in command)


def until(look: Callable[[], Seen], what: str, seconds: float = 60) -> Seen:
    """Look again and again until there is something to see, and return it.

    Raises:
        TimeoutError: there was nothing in that many seconds.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} seconds for {what}")
        time.sleep(0.05)
    return seen


# Each is given once. From 32768 on, the system gives them to clients: one of those could have it
# before it is listened at. Chromium does not connect to port 10080.
_PORTS = iter(random.sample(range(11_000, 32_768), 20_000))


@contextlib.contextmanager
def nginx_in_front(folder: Path, block: str, stand_ins: Mapping[str, str]) -> Iterator[int]:
    """A reverse proxy of a document, with other addresses than the ones in it; its port.

    Args:
        folder: where nginx may write.
        block: the `server` of its configuration, which listens at port 80.
        stand_ins: what to replace in it.
    """
    port = free_port()
    for written, here in {"listen 80;": f"listen 127.0.0.1:{port};", **stand_ins}.items():
        assert written in block
        block = block.replace(written, here)
    user = "user root;" if os.geteuid() == 0 else ""
    paths = " ".join(
        f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid nginx.pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {paths} {block} }}"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    nginx = subprocess.Popen([program, "-e", "stderr", "-p", f"{folder}/", "-c", "nginx.conf"])

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        until(listens, "the nginx in front")
        yield port
    finally:
        nginx.terminate()
        nginx.wait()


def free_port() -> int:
    """A free port, except those that gixy takes for TLS."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            if "443" not in str(port):
                return port
    raise OSError("no port of this machine is free")


@functools.cache
def engine_is_missing() -> str:
    """What to install before containers can run here; empty when nothing is missing."""
    for command, what in (
        (["docker", "info"], "a container engine (`docker info`)"),
        (["docker", "compose", "version"], "Docker's Compose plugin"),
        (["docker", "buildx", "version"], "Docker's Buildx plugin"),
    ):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return f"install {what}, for the tests that run containers"
    return ""


@functools.cache
def _project_files() -> list[str]:
    """What a clone of this checkout would have, together with what is not yet committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    names = listed.stdout.rstrip("\0").split("\0")
    return [name for name in names if not name.startswith("tests/")]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    elif source.exists():  # deleted here, but not yet committed as such
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
