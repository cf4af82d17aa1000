"""A real uWSGI in debug mode, and a client that does what the debugger's page does in a browser."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from deploy.settings import debugging
from tests.servers import free_port

PROJECT = Path(__file__).resolve().parent.parent.parent
APPS = Path(__file__).parent / "apps"
PIN = "abcd-2345-efgh-6789-ijkl"

# What uwsgi.ini says about how an app is run, without nginx in front of it.
SETTINGS = """\
[uwsgi]
declare-option = debug=print=UWSGI_DEBUG is set to $1
strict = true
manage-script-name = true
no-default-app = true
need-app = true
single-interpreter = true
master = true
buffer-size = 65535
post-buffering = 65536
listen = 128
disable-logging = true
die-on-term = true
worker-reload-mercy = 5
; A worker that was born a moment ago may miss a signal: the tests wait for this line of each.
hook-accepting = print:this worker accepts
"""


def until(condition, what, timeout=60):
    """Wait for something, and return it."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {timeout} s still not: {what}"
        time.sleep(0.02)
    return found


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class Server:
    """A uWSGI on a free port.

    ``mounts`` is the value of MOUNTS, or a dictionary that is mounted as it is, without the
    debugger. ``options`` are uWSGI's; ``environment`` adds to this process's own. With an empty
    ``pin`` there is a random one.
    """

    directory: Path
    mounts: str | dict[str, str] = "/path=failing:app"
    options: tuple[str, ...] = ("--workers=4", "--threads=4")
    environment: dict[str, str] = field(default_factory=dict)
    pin: str = PIN
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.port = free_port()
        self.runs_file = self.directory / f"runs-{self.port}"
        self.runs_file.touch()
        self.log_file = self.directory / f"log-{self.port}"
        self.ini = self.directory / f"{self.port}.ini"
        self.ini.write_text(SETTINGS)

    @property
    def private(self):
        """The directory that its workers share."""
        return debugging.directory(self.directory, str(self.port))

    def start(self):
        targets = self.mounts
        if isinstance(targets, str):
            paths = [mount.partition("=")[0] for mount in targets.split()]
            targets = {
                p.rstrip("/"): f"deploy.worker.debugged:app_{n}" for n, p in enumerate(paths)
            }
        environment = {
            "UWSGI_DEBUG": "1",
            "SERVER_NAMES": "",
            "HTTP_PORT": str(self.port),
            "TLS_CERTIFICATE": "/dev/null",
            "SOCKETS": str(self.directory),
            "INSTANCE": str(self.port),
            "MOUNTS": self.mounts if isinstance(self.mounts, str) else "",
            "RUNS": str(self.runs_file),
            "PYTHONPATH": f"{PROJECT}:{APPS}:{self.directory}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        debugging.prepare(self.private, self.pin)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("uwsgi"),
                    f"--ini={self.ini}",
                    f"--http-socket=127.0.0.1:{self.port}",
                    f"--virtualenv={sys.prefix}",
                    *(f"--mount={path}={target}" for path, target in targets.items()),
                    *self.options,
                ],
                env=os.environ | environment | self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def serving(self):
        """Start it, and wait until it is up."""
        self.start()
        until(lambda: self.accepting == self.size or self.process.poll() is not None, "all accept")
        assert self.process.poll() is None, f"uWSGI ended at its start:\n{self.log}"
        return self

    @property
    def size(self):
        return int(next(o for o in self.options if o.startswith("--workers=")).partition("=")[2])

    @property
    def accepting(self):
        """How many workers have come into service since the start."""
        return self.log.count("this worker accepts\n")

    def stop(self):
        """End it at once, which saves a second each time: how it stops is not a question here."""
        if self.process and self.process.poll() is None:
            workers = self.workers()
            self.process.kill()
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def reload(self):
        """Send SIGHUP, and wait for new workers."""
        before = self.accepting
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.accepting == before + self.size, "new workers have taken over")

    def workers(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    @property
    def runs(self):
        """How often a view that fails has been run."""
        return self.runs_file.stat().st_size

    def get(self, path, headers=(), body=None, timeout=60):
        """One request on a connection of its own, as nginx makes it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(
                "GET" if body is None else "POST", path, body=body, headers=dict(headers)
            )
            response = connection.getresponse()
            return Response(
                response.status, response.headers, response.read().decode(errors="replace")
            )
        finally:
            connection.close()

    @contextmanager
    def leave_early(self, path):
        """Read the start of a response, and close the connection when the block ends."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert connection.recv(1), "there is no response"
            yield

    def fail(self, path, headers=(), body=None, pin=PIN):
        """Request what fails, and open the page that comes back; with the PIN entered or not."""
        response = self.get(path, headers, body)
        assert response.status == 500, f"{path}: {response.status}: {response.text}"
        page = Page(self, path.partition("?")[0], response)
        if pin:
            page.enter(pin)
        return page

    def fail_in_all_workers(self, path="/path/view/a-token"):
        """Pages of as many failed requests as it takes to have one of each worker, locked."""
        pages = []
        with ThreadPoolExecutor(self.size * 4) as pool:
            while len({page.owner for page in pages}) < self.size:
                assert len(pages) < 1000, "some worker never responds"
                pages += pool.map(lambda _: self.fail(path, pin=None), range(self.size * 4))
        return pages


@dataclass
class Page:
    """The page of a traceback, as JavaScript in a browser sees it."""

    server: Server
    path: str
    response: Response
    cookie: str = ""

    def __post_init__(self):
        found = re.search(r'SECRET = "(.+?)"', self.response.text)
        assert found, f"this is not a page of the debugger:\n{self.response.text}"
        self.secret = found[1]
        self.frames = re.findall(r'id="frame-(\d+)"', self.response.text)
        self.has_consoles = "EVALEX = true" in self.response.text
        self.is_trusted = "EVALEX_TRUSTED = true" in self.response.text

    @property
    def owner(self):
        return int(self.secret.partition("-")[0])

    def ask(self, headers=(), **arguments):
        """Send what ``makeDebugURL`` in Werkzeug's debugger.js would make of the arguments."""
        query = urlencode(arguments | {"s": arguments.get("s", self.secret)})
        headers = ({"Cookie": self.cookie} if self.cookie else {}) | dict(headers)
        return self.server.get(f"{self.path}?__debugger__=yes&{query}", headers)

    def enter(self, pin, **headers):
        """Enter a PIN; what the page is told about it."""
        response = self.ask(cmd="pinauth", pin=pin, headers=headers)
        assert response.status == 200, response
        if cookie := response.headers["Set-Cookie"]:
            self.cookie = cookie.partition(";")[0]
        return json.loads(response.text)

    def command(self, command, frame=-1, **headers):
        return self.ask(cmd=command, frm=self.frames[frame], headers=headers)

    def evaluate(self, command, frame=-1):
        """The output of a command, without HTML and without the echo of the command."""
        response = self.command(command, frame)
        assert response.status == 200, response
        return re.sub(r"<[^>]*>", "", response.text).partition("\n")[2].strip()
