"""Start a server, ask it all rows, stop it, and return what it did with each."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conformance.row import Ask, Outcome, Reply, Row
from tests.servers import ComposeSite, HostSite, NotServedError, Site

HERE = Path(__file__).parent
APPS = HERE / "apps"
SECONDS = 60  # the most that anything takes on a busy machine
MOUNTS = {
    "requests": {
        "/x": "conforms:app",
        "/wsgi": "conforms.plain:application",
        "/files": "conforms.files:app",
        "/top": "conforms.top:app",
        "/proxied": "conforms.proxied:app",
    },
    "imports": {
        f"/{file.stem}": f"imports.{file.stem}:app"
        for file in sorted((APPS / "imports").glob("[a-z]*.py"))
    },
}
# Python's own helpers, which live as long as the process that needed them.
HELPERS = re.compile(
    r"multiprocessing[./](forkserver|resource_tracker)|deploy health|deploy promote"
    r"|^sleep 5 $"  # nginx/start.sh
)


class Reference(HostSite):
    """Werkzeug's own server."""

    def __init__(self, *args: Any, files: Iterable[Path] = (), **kwargs: Any) -> None:
        super().__init__(*args, files=[*files, HERE / "reference.py"], **kwargs)

    def command(self) -> list[str]:
        """What is run in the site's folder."""
        return [sys.executable, "reference.py"]


KINDS: dict[str, type[Site]] = {"werkzeug": Reference, "host": HostSite, "compose": ComposeSite}


def run(kind: str, rows: Iterable[Row]) -> dict[Row, Outcome]:
    """Ask this kind of server each row."""
    # What is right by itself needs no reference.
    compared = [row for row in rows if row.right is None]
    wanted = compared if kind == "werkzeug" else [row for row in rows if kind in row.kinds]
    done: dict[Row, Outcome] = {}
    for name in MOUNTS:
        done |= _run_site(kind, name, [r for r in wanted if r.site == name and not r.mount])
    for row in wanted:
        if row.mount:
            done[row] = _start_only(kind, row)
    return done


def options(kind: str, mounts: dict[str, str], folder: Path) -> dict[str, Any]:
    """Files and settings of a site with these mounts."""
    env = (HERE / "dotenv.txt").read_text()
    env += f"CONFORMANCE_SITE={kind}-{folder.name}\n"
    files = sorted(folder.iterdir())
    temporary = folder / "temporary"
    temporary.mkdir()
    return {
        # What apps leave in it goes with the site; a container has one of its own.
        **({} if kind == "compose" else {"TMPDIR": temporary}),
        "files": files,
        "env_file": env,
        "MOUNTS": " ".join(f"{path}={target}" for path, target in mounts.items()),
        "WORKERS": 2,
        "THREADS": 8,
        "SECRET_KEY": "one key for all three servers",
        "CONFORMANCE_SHELL": "from the shell",
    }


def _run_site(kind: str, name: str, rows: list[Row]) -> dict[Row, Outcome]:
    done = {}
    with _apps() as folder, KINDS[kind](**options(kind, MOUNTS[name], folder)) as site:
        first = next(iter(MOUNTS[name]))
        for row in sorted(rows, key=lambda row: row.at_stop):
            before = _processes(site, first) if "children" in row.family else {}
            done[row] = _ask_row(site, row)
            if before:
                done[row].left = _left(site, first, before)
        _stop(site)
        log = site.logs()
    for row, outcome in done.items():
        patterns = [pattern.replace("{token}", row.token) for pattern in row.logs]
        outcome.logged = tuple(bool(re.search(p, log, re.MULTILINE)) for p in patterns)
        noise = [pattern.replace("{token}", row.token) for pattern in row.quiet]
        outcome.noise = tuple(p for p in noise if re.search(p, log, re.MULTILINE))
    return done


class _apps:
    """A copy of the apps, with the files that git or a linter would not let be."""

    def __enter__(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="conforms"))
        shutil.copytree(
            APPS, self.folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
        for name, content in json.loads((HERE / "odd_files.json").read_text()).items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return self.folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)


def _ask_row(site: Site, row: Row) -> Outcome:
    try:
        seen = [_place(row.look(_send(site, row, ask)), site) for ask in row.requests]
    except Exception as error:
        return Outcome(seen=f"{type(error).__name__}: {error}", error=str(error))
    return Outcome(seen=seen[0] if len(seen) == 1 else seen)


def _place(seen: Any, site: Site) -> Any:
    """The same words for the address of each site."""
    if isinstance(seen, str):
        return seen.replace(f"127.0.0.1:{site.port}", "HOST").replace(str(site.port), "PORT")
    if isinstance(seen, bytes):
        return seen.replace(f"127.0.0.1:{site.port}".encode(), b"HOST").replace(
            str(site.port).encode(), b"PORT"
        )
    if isinstance(seen, tuple):
        return tuple(_place(part, site) for part in seen)
    return seen


def _send(site: Site, row: Row, ask: Ask) -> Reply:
    """Send a request on a connection of its own, and read all that comes."""
    names = {name.lower() for name, _ in ask.headers}
    lines = [f"{ask.method} {ask.target.replace('{token}', row.token)} HTTP/{ask.version}"]
    if "host" not in names:
        lines.append(f"Host: 127.0.0.1:{site.port}")
    lines += [f"{name}: {value}" for name, value in ask.headers]
    if ask.body and not names & {"transfer-encoding", "content-length"}:
        lines.append(f"Content-Length: {len(ask.body)}")
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
    with socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS) as connection:
        response = http.client.HTTPResponse(connection, method=ask.method)
        with contextlib.suppress(OSError):  # it may have read enough for a response
            connection.sendall(head + ask.body)
        try:
            response.begin()
        except (http.client.HTTPException, OSError):
            return Reply(0, whole=False)
        headers = tuple(response.headers.items())
        try:
            return Reply(response.status, headers, response.read())
        except http.client.IncompleteRead as error:
            return Reply(response.status, headers, error.partial, whole=False)
        except OSError:
            return Reply(response.status, headers, whole=False)


def _processes(site: Site, mount: str) -> dict[int, str]:
    response = site.ask(f"{mount}/processes")
    return {int(pid): words for pid, words in response.json().items() if not HELPERS.search(words)}


def _left(site: Site, mount: str, before: dict[int, str]) -> tuple[str, ...]:
    """The commands of the processes that a row has left behind, and still do after a while."""
    end = time.monotonic() + SECONDS
    while True:
        now = _processes(site, mount)
        left = tuple(words for pid, words in now.items() if pid not in before)
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def _stop(site: Site) -> None:
    """As a supervisor would; for Werkzeug's server, that is Ctrl-C."""
    if isinstance(site, ComposeSite):
        site.compose("stop", "--timeout", str(SECONDS))
        return
    assert isinstance(site, HostSite)
    site.process.send_signal(signal.SIGINT if isinstance(site, Reference) else signal.SIGTERM)
    try:
        site.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return  # what its log lacks then fails the rows that need it


def _start_only(kind: str, row: Row) -> Outcome:
    """Start a server with an app that does not load."""
    with _apps() as folder:
        try:
            with KINDS[kind](**options(kind, {"/x": row.mount}, folder)):
                return Outcome(seen="it starts")
        except NotServedError as error:
            said = str(error)
    return Outcome(
        seen="it does not start",
        logged=tuple(bool(re.search(p, said, re.MULTILINE)) for p in row.logs),
        notes={"said": said},
    )
