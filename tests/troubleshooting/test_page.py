"""Each row of docs/troubleshooting.md begins with a message that really comes, provoked here."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.server.logs import RELAY
from tests.resources import small
from tests.servers import PROJECT, ComposeSite, HostSite, Serve, until

TROUBLE = Path(__file__).with_name("trouble.py")
PAGE = (PROJECT / "docs" / "troubleshooting.md").read_text()
LIVE = "/run/web/sockets/live.sock"
SECONDS = 60


def rows() -> list[str]:
    """The first cell of each row."""
    cells = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.splitlines() if "|" in line]
    return [cell for cell in cells if cell != "You see" and not cell.startswith("|---")]


def message(row: str) -> str:
    """What a row begins with, in code; else all of it, which is what people see."""
    found = re.match(r"`([^`]+)`", row)
    return found[1] if found else row


class World:
    """The places that trouble is made in, each started when it is first needed."""

    def __init__(self, shared_site: Serve, serve: Serve, tmp_path: Path) -> None:
        self._shared_site, self.serve, self.tmp_path = shared_site, serve, tmp_path

    @property
    def host(self) -> HostSite:
        return self._shared_site(
            "host",
            files=(TROUBLE,),
            MOUNTS="/x=trouble:app",
            REQUEST_TIMEOUT=5,
            MAX_BODY_SIZE="1k",
            SERVER_NAMES="127.0.0.1",
            WORKERS=2,
            THREADS=2,
        )

    @property
    def containers(self) -> ComposeSite:
        """Another module's as well, which may stop it."""
        return self._shared_site("compose", WORKERS=2, THREADS=2, SECRET_KEY="spare")

    @property
    def small(self) -> ComposeSite:
        """Small disks and little memory."""
        return small.small_site(self._shared_site)

    def shows(self, path: str, **options: object) -> str:
        """What a browser shows, with the status line."""
        with self.host.client() as client:
            # A worker that an earlier provocation has ended may not be replaced yet.
            until(lambda: client.get("/x/").status_code == 200, "a worker", SECONDS)
            response = client.request(options.pop("method", "GET"), path, **options)
        return f"{response.status_code} {response.reason_phrase}\n{response.text}"

    def logs(self, wanted: str, *, path: str = "", **options: object) -> str:
        """The host's log once this stands in it, after a request if it does not yet."""
        if path and wanted not in self.host.logs():
            self.shows(path, **options)
        until(lambda: wanted in self.host.logs(), f"{wanted!r} in the log", SECONDS)
        return self.host.logs()

    def types(self, *words: str, app: str = "", env_file: str = "", **knobs: str) -> str:
        """All that `python -m deploy ...` says, in a fresh copy of the bundle."""
        (self.tmp_path / "broken.py").write_text(app)
        site = HostSite(files=[self.tmp_path / "broken.py"], env_file=env_file, **knobs)
        try:
            return output([sys.executable, "-m", "deploy", *words], site)
        finally:
            site.clean_up()

    def in_app(self, script: str) -> str:
        """Run Python in the app's container."""
        site = self.containers
        done = site.compose("exec", "-T", "app", "python", "-c", script, check=False)
        return done.stdout + done.stderr


def output(command: list[str], site: HostSite, **options: object) -> str:
    done = subprocess.run(
        command,
        cwd=site.folder,
        env=site.environment | {"DOCKER_HOST": "unix:///nowhere"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )
    return done.stdout


@contextlib.contextmanager
def instead_of_the_socket(world: World, script: str) -> Iterator[ComposeSite]:
    """What nginx connects to is changed meanwhile; the script gets the socket's path as `live`."""
    head = f"import os, socket; live = {LIVE!r}; own = os.path.realpath(live);"
    site = world.containers
    own = world.in_app(f"{head} print(own)").strip()
    try:
        world.in_app(head + script)
        yield site
    finally:
        world.in_app(
            f"{head} os.chmod({own!r}, 0o660); os.path.lexists(live) and os.unlink(live);"
            f" os.symlink({os.path.basename(own)!r}, live); {STALE} os.unlink(stale)"  # noqa: PTH119
        )
        until(lambda: site.ask("/path/").status == 200, "the app again", SECONDS)


def nginx_says(world: World, script: str, wanted: str = "live.sock failed") -> str:
    with instead_of_the_socket(world, script) as site:
        seen = len(site.logs("nginx"))
        assert site.ask("/path/").status in (502, 503)
        return until(
            lambda: wanted in site.logs("nginx")[seen:] and site.logs("nginx")[seen:],
            "nginx's error",
            SECONDS,
        )


STALE = "s = socket.socket(socket.AF_UNIX); stale = '/run/web/sockets/stale.sock';"
STALE += " os.path.exists(stale) and os.unlink(stale); s.bind(stale); os.chmod(stale, 0o660);"
LINK = " os.unlink(live); os.symlink('stale.sock', live);"


# A backlog that is full, and a server that reads the request and closes the connection.
FULL = """
s.listen(0)
held = []
try:
    while True:
        held.append(socket.socket(socket.AF_UNIX)); held[-1].setblocking(False)
        held[-1].connect(stale)
except BlockingIOError:
    print('ready', flush=True)
"""
READ = """
s.listen()
print('ready', flush=True)
with s.accept()[0] as c:
    size = int.from_bytes(c.recv(4, socket.MSG_WAITALL)[1:3], 'little')
    c.recv(size, socket.MSG_WAITALL)
"""


def another_server(world: World, script: str, wanted: str = "live.sock failed") -> str:
    """What nginx says of a server that is not uWSGI, in the app's container."""
    (app,) = world.containers.containers("app")
    command = f"import os, socket, sys; live = {LIVE!r}; {STALE}\n{script}\nsys.stdin.read()"
    held = subprocess.Popen(
        ["docker", "exec", "-i", app, "python", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert held.stdout.readline() == "ready\n"
        return nginx_says(world, LINK, wanted)
    finally:
        held.communicate(timeout=SECONDS)


def spoken_to_in_http(world: World) -> str:
    """A uwsgi socket with uWSGI's own buffer size, asked in HTTP."""
    program = Path(sys.executable).with_name("uwsgi")
    with tempfile_socket() as path, (world.tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [program, "--socket", path, "--buffer-size", "4096", "--master", "--die-on-term"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

        def said() -> str:
            return Path(log.name).read_text()

        try:
            until(lambda: "spawned uWSGI worker" in said(), "uWSGI", SECONDS)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                until(lambda: "invalid request" in said(), "the error", SECONDS)
            return said()
        finally:
            process.terminate()
            process.wait(SECONDS)


@contextlib.contextmanager
def tempfile_socket() -> Iterator[str]:
    directory = Path(f"/tmp/trouble-{os.getpid()}")  # short, for a socket
    directory.mkdir()
    try:
        yield str(directory / "socket")
    finally:
        shutil.rmtree(directory)


def wheel(world: World) -> str:
    locked = re.search(
        r"^uwsgi==\S+", (PROJECT / "deploy" / "requirements" / "bundle.txt").read_text(), re.M
    )[0]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-cache-dir", "--no-binary=:all:", f"--wheel-dir={world.tmp_path}", locked],
        env=os.environ | {"CC": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


def misspelt_option(world: World) -> str:
    site = HostSite()
    try:
        with (site.folder / "uwsgi.ini").open() as file:
            text = file.read()
        (site.folder / "uwsgi.ini").write_text(text.replace("[uwsgi]", "[uwsgi]\nharakri = 60", 1))
        return output([sys.executable, "-m", "deploy", "serve"], site)
    finally:
        site.clean_up()


def with_docker(world: World, *words: str, env_file: str = "") -> str:
    site = ComposeSite(env_file=env_file)
    try:
        done = site.compose(*words, check=False)
    finally:
        site.clean_up()
    return done.stdout + done.stderr


def taken_by_docker(world: World) -> str:
    site = world.containers
    (image,) = (f"{site.name}-{service}" for service in ("app",))
    done = subprocess.run(
        ["docker", "run", "--rm", f"--publish=127.0.0.1:{site.port}:80", image, "true"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stderr


def refused_elsewhere(world: World) -> str:
    # As good as another address of this machine, and always there.
    with pytest.raises(ConnectionRefusedError) as caught:
        socket.create_connection(("127.0.0.2", world.host.port), timeout=SECONDS)
    return str(caught.value)


def redirect_loop(world: World) -> str:
    """As by a proxy that speaks TLS: the app wants https, and never hears that it is."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    assert world.shows("/x/secure", headers=headers).startswith("302 ")
    return world.logs("TRUSTED_PROXIES does not have")


def web_socket(world: World) -> str:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    shown = world.shows("/x/socket", headers=headers | {"Sec-WebSocket-Key": "x" * 22 + "=="})
    assert "A WebSocket handshake for /x/socket" in world.logs("A WebSocket handshake for")
    return shown


def blank_page(world: World) -> str:
    for path in ("/static/style.css", "/assets/index.js"):
        assert world.shows(path).startswith("404 "), path
    return "A page without styles, or blank, with `404` for `/static/...` or `/assets/...`"


def my_change(world: World) -> str:
    source = world.host.folder / "trouble.py"
    source.write_text(source.read_text().replace("as it was", "as it is"))
    assert "as it was" in world.shows("/x/")
    output([sys.executable, "-m", "deploy", "rollout"], world.host)
    assert "as it is" in world.shows("/x/")
    return "My change does not show"


def my_print(world: World) -> str:
    assert "by the app" not in world.shows("/x/print")
    world.logs("printed by the app")
    return "My `print()` does not show"


def lost_lines(world: World) -> str:
    with subprocess.Popen([RELAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
        relay.stdin.write((b"x" * 99 + b"\n") * 250_000)  # nothing is read meanwhile
        relay.stdin.flush()
        return next(line for line in relay.stdout if not line.startswith(b"x")).decode()


def unavailable(world: World) -> str:
    with instead_of_the_socket(world, " os.unlink(live)") as site, site.client() as client:
        response = client.get("/path/")
        return f"{response.status_code} {response.reason_phrase}"


def full_disk(world: World, service: str, directory: str, wanted: str) -> str:
    """What a service logs about a large request while this directory is full."""
    site = world.small
    seen = len(site.logs(service))
    with small.full(site, service, directory, small.FILL["space"]):
        site.ask("/x/upload", method="POST", body=small.BODY)
        return small.logged(site, service, seen, wanted)


def memory_limit(world: World) -> str:
    seen = len(world.small.logs("app"))
    world.small.ask("/x/memory", method="POST")
    return small.logged(world.small, "app", seen, "The memory limit is reached")


def no_process(world: World) -> str:
    seen = len(world.small.logs("app"))
    with small.limited_processes(world.small, 1):
        assert world.small.ask("/x/exit").status == 502
        return small.logged(world.small, "app", seen, "cannot be started")


def leaked_files(world: World) -> str:
    seen = len(world.small.logs("app"))
    world.small.ask("/x/files", method="POST")
    return small.logged(world.small, "app", seen, "Too many open files")


SCHEDULER = """
import threading
from flask import Flask
app = Flask(__name__)
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
CSRF = {"method": "POST", "data": {"csrf_token": "that of an hour ago"}}
ON_HOST: dict[str, Callable[[World], str]] = {
    "ModuleNotFoundError: No module named": lambda w: w.types(
        "serve", app="import pandas_of_another_python", MOUNTS="/x=broken:app"
    ),
    "ImportError: attempted relative import with no known parent package": lambda w: w.types(
        "serve", app="from . import models", MOUNTS="/x=broken:app"
    ),
    "cannot be loaded": lambda w: w.types("serve", app="1 / 0", MOUNTS="/x=broken:app"),
    "unknown config directive": misspelt_option,
    "invalid request block size": spoken_to_in_http,
    "(Address already in use)": lambda w: w.types("serve", HTTP_PORT=str(w.host.port)),
    "which Compose takes for a variable": lambda w: w.types("serve", env_file="A=pa$word\n"),
    "404 Not Found": lambda w: w.shows("/"),
    "A page without styles, or blank, with `404` for `/static/...` or `/assets/...`": blank_page,
    "413 Request Entity Too Large": lambda w: w.shows("/x/", method="POST", content=b"x" * 2000),
    "414 Request-URI Too Large": lambda w: w.shows("/x/?" + "a" * 40_000),
    "The request's headers are too large.": lambda w: w.shows(
        "/x/", headers={"Cookie": "a" * 60_000}
    ),
    "421 Misdirected Request": lambda w: w.shows("/x/", headers={"Host": "example.org"}),
    "500 Internal Server Error": lambda w: w.shows("/x/login"),
    "502 Bad Gateway": lambda w: w.shows("/x/exit"),
    "504 Gateway Time-out": lambda w: w.shows("/x/wait"),
    "Connection refused": refused_elsewhere,
    "The CSRF session token is missing.": lambda w: w.shows("/x/form", **CSRF),
    "TRUSTED_PROXIES does not have": redirect_loop,
    "501 Not Implemented": web_socket,
    "recv() failed (104: Connection reset by peer) while reading response header": (
        lambda w: w.logs("recv() failed (104", path="/x/exit")
    ),
    "DAMN ! worker": lambda w: w.logs("DAMN ! worker", path="/x/exit"),
    "upstream timed out (110: Connection timed out)": (
        lambda w: w.logs("upstream timed out", path="/x/wait")
    ),
    "has run for": lambda w: w.logs("has run for", path="/x/wait"),
    "client intended to send too large body": lambda w: w.logs(
        "client intended to send", path="/x/", method="POST", content=b"x" * 2000
    ),
    "The session is unavailable because no secret key was set.": (
        lambda w: w.logs("no secret key was set.", path="/x/login")
    ),
    "so each restart logs all users out": lambda w: w.types("check", SECRET_KEY=""),
    "so a job that it has scheduled runs": lambda w: w.types(
        "check", app=SCHEDULER, MOUNTS="/x=broken:app", WORKERS="2"
    ),
    "log lines were lost, since the log was not read": lost_lines,
    "My `print()` does not show": my_print,
    "My change does not show": my_change,
}
IN_CONTAINERS: dict[str, Callable[[World], str]] = {
    "Failed building wheel for uwsgi": wheel,
    "port is already allocated": taken_by_docker,
    "variable is not set. Defaulting to a blank string.": lambda w: with_docker(
        w, "config", "--quiet", env_file="MAIL_PASSWORD=pa$word\n"
    ),
    "503 Service Temporarily Unavailable": unavailable,
    "connect() to unix:sockets/live.sock failed (2: No such file or directory)": (
        lambda w: nginx_says(w, " os.unlink(live)")
    ),
    "connect() to unix:sockets/live.sock failed (111: Connection refused)": (
        lambda w: nginx_says(w, STALE + LINK)
    ),
    "connect() to unix:sockets/live.sock failed (13: Permission denied)": (
        lambda w: nginx_says(w, " os.chmod(own, 0o600)")
    ),
    "connect() to unix:sockets/live.sock failed (11: Resource temporarily unavailable)": (
        lambda w: another_server(w, FULL)
    ),
    "upstream prematurely closed connection while reading response header from upstream": (
        lambda w: another_server(w, READ, "prematurely closed")
    ),
    "The memory limit is reached": memory_limit,
    "has no space left": lambda w: full_disk(w, "app", "/app/instance", "has no space left"),
    "has no room for a request body": lambda w: full_disk(
        w, "app", "/run/web/tmp", "has no room for a request body"
    ),
    "failed (28: No space left on device)": lambda w: full_disk(
        w, "nginx", "/run/web/spool", "failed .28: No space left on device"
    ),
    "cannot be started (fork: Resource temporarily unavailable)": no_process,
    "Too many open files": leaked_files,
    "Read-only file system": lambda w: w.in_app("open('/app/words.txt', 'w')"),
    "unable to open database file": lambda w: w.in_app(
        "import sqlite3; sqlite3.connect('shop.db').execute('CREATE TABLE t (n)')"
    ),
}


PROVOCATIONS = [
    *(pytest.param(what, make, id=what) for what, make in ON_HOST.items()),
    *(
        pytest.param(what, make, id=what, marks=pytest.mark.docker)
        for what, make in IN_CONTAINERS.items()
    ),
]


def test_each_row_has_its_provocation() -> None:
    assert sorted(map(message, rows())) == sorted([*ON_HOST, *IN_CONTAINERS])


@pytest.mark.parametrize(("what", "provoke"), PROVOCATIONS)
def test_the_message_of_a_row_is_what_comes(
    what: str, provoke: Callable[[World], str], shared_site: Serve, serve: Serve, tmp_path: Path
) -> None:
    assert what in provoke(World(shared_site, serve, tmp_path))


def test_readme_has_the_commonest_rows() -> None:
    readme = (PROJECT / "README.md").read_text()
    section = readme.split("## Troubleshooting\n")[1].split("\n## ")[0]
    quoted = re.findall(r"^\| `([^`]+)`", section, re.M)
    assert len(quoted) >= 9
    assert set(quoted) <= set(map(message, rows()))
    assert "(docs/troubleshooting.md)" in section
