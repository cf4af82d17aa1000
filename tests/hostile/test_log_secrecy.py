"""No log has a secret in it: neither what a request carries, nor a setting, with the debugger on.

The one exception is the line of the banner that tells the operator the debugger's PIN.
"""

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
import trustme

from tests.conftest import Serve
from tests.hostile.secrecy import HEADERS, PIN, QUERY, SECRETS, authorization, leaks
from tests.hostile.wire import ClosedError, Wire
from tests.servers import PROJECT, HostSite, Site, free_port

BREAKER = Path(__file__).parent / "apps" / "breaker.py"
KNOBS = {
    "MOUNTS": "/path=breaker:app",
    "UWSGI_DEBUG": "1",
    "WERKZEUG_DEBUG_PIN": PIN,
    "SECRET_KEY": SECRETS["SECRET_KEY"],
    "SERVER_NAMES": "127.0.0.1 localhost",
    "MAX_BODY_SIZE": "1k",
    "WORKERS": 4,
    "THREADS": 4,
}

# A name of several lines, and longer than a message in nginx's log.
LINES = authorization("x", f"a\n{SECRETS['name']}\n" * 100)
# What is sent: the request line, headers and a body.
REQUESTS = [
    # what succeeds
    ("GET /path/fine?{q}", {}, ""),
    ("POST /path/fine?{q}", {}, urlencode({"token": SECRETS["body"]})),
    ("GET /path/fine?{q}&\xff", {}, ""),
    # what the app does wrong
    ("GET /path/fail?{q}", {}, ""),
    ("GET /path/half?{q}", {}, ""),
    ("GET /path/die?{q}", {}, ""),
    ("GET /path/huge?{q}", {}, ""),
    # what is not there
    ("GET /path/nowhere?{q}", {}, ""),
    ("GET /nowhere?{q}", {}, ""),
    ("GET /path/static/nothing.css?{q}", {}, ""),
    ("GET /path/static/?{q}", {}, ""),
    ("GET /path/" + "x" * 300 + "?{q}", {}, ""),
    # methods and sizes
    ("DELETE /path/fine?{q}", {}, ""),
    ("TRACE /path/fine?{q}", {}, ""),
    ("brew /path/fine?{q}", {}, ""),
    ("POST /path/fine?{q}", {}, "x" * 2000 + SECRETS["body"]),
    ("GET /path/fine?{q}&a=" + "x" * 9000, {}, ""),
    ("GET /path/fine?{q}", {"X-Large": "x" * 9000}, ""),
    # what is no HTTP
    ("GET /path/fine?{q}", {"X\0": "x"}, ""),
    ("GET /path/fine?{q}", {"host": "a", "Host": "b"}, ""),
    ("GET /path/fine?{q}", {"Host": "a@b"}, ""),
    ("GET /path/fine?{q}", {"Host": ""}, ""),
    ("GET http://127.0.0.1/path/fine?{q}", {}, ""),
    ("GET /path/%00?{q}", {}, ""),
    ("GET /path/../../x?{q}", {}, ""),
    ("POST /path/fine?{q}", {"Transfer-Encoding": "chunked"}, "zz\r\n\r\n"),
    ("POST /path/fine?{q}", {"Content-Length": "1, 2"}, ""),
    ("GET /path/fine?{q}\r\n\r\n", {}, ""),
    ("GET /path/fine?{q} HTTP/3.0\r\n\r\n", {}, ""),
    # what is not allowed
    ("GET /path/fine?{q}", {"Host": "elsewhere.example"}, ""),
    ("GET /path/fine?{q}", {"Authorization": ""}, ""),
    ("GET /path/fine?{q}", {"Authorization": authorization(SECRETS["wrong password"])}, ""),
    ("GET /path/fine?{q}", {"Authorization": authorization("x", SECRETS["wrong password"])}, ""),
    ("GET /path/fine?{q}", {"Authorization": LINES}, ""),
    ("GET /path/fine?{q}", {"X-Forwarded-For": "8.8.8.8"}, ""),
    ("GET /path/fine?{q}", {"Upgrade": "websocket", "Connection": "Upgrade"}, ""),
    # the debugger's
    ("GET /path/?__debugger__=yes&cmd=resource&f=a%00&{q}", {}, ""),
    ("GET /path/?__debugger__=yes&cmd=1&frm=1&{q}", {}, ""),
]
PROVOKED = {200, 400, 401, 404, 405, 410, 413, 414, 421, 500, 502}


def send(site: Site, line: str, headers: dict[str, str], body: str) -> int:
    """Send one of them; the status, or 0 if the connection is closed without one."""
    lines = {k: v for k, v in HEADERS.items() if k not in headers} | headers
    if body and "Transfer-Encoding" not in headers:
        lines["Content-Length"] = str(len(body))
    head = line.format(q=QUERY) + " HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with Wire(site.port) as wire:
        wire.send(f"{head}\r\n{body}".encode("latin-1"))
        with suppress(ClosedError):
            return wire.reply().status
    return 0


def leave_early(site: Site) -> None:
    """Clients that go away: while the app works, and in the middle of a body."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with Wire(site.port) as wire:
        wire.send(f"GET /path/wait?seconds=1&{QUERY} HTTP/1.1\r\n{head}\r\n".encode())
    with Wire(site.port) as wire:
        body = SECRETS["body"]
        start = f"POST /path/fine?{QUERY} HTTP/1.1\r\n{head}Content-Length: 900\r\n\r\n{body}"
        wire.send(start.encode())
    with Wire(site.port) as wire:
        wire.send(f"GET /path/fine?{QUERY} HTTP/1.1\r\n{head}".encode())


def debug(client: httpx.Client) -> list[str]:
    """Use the debugger as its page does; the secrets of that."""
    page = client.get("/path/fail", params={"token": SECRETS["query"]})
    secret = re.search(r'SECRET = "([^"]+)"', page.text)[1]
    frame = re.findall(r'id="frame-(\d+)"', page.text)[-1]
    ours = {"__debugger__": "yes", "s": secret}
    for pin in (SECRETS["query"], PIN):
        client.get("/path/fail", params=ours | {"cmd": "pinauth", "pin": pin})
    command = f"len('{SECRETS['body']}')"
    response = client.get("/path/fail", params=ours | {"cmd": command, "frm": frame})
    assert (response.status_code, str(len(SECRETS["body"])) in response.text) == (200, True)
    for path in ("/path/die", "/nowhere"):
        client.get(path, params={"token": SECRETS["query"], "pin": PIN, "s": secret})
    return [secret, *client.cookies.values()]


@contextmanager
def nothing_live(site: Site) -> Iterator[None]:
    """What nginx asks is away for a moment."""
    link = site.folder / ".run" / "sockets" / "live.sock"
    target = link.readlink()
    link.unlink()
    try:
        yield
    finally:
        link.symlink_to(target)


def assert_no_secret_is_logged(site: Site, *others: str) -> None:
    last = site.ask("/path/fine", {"Authorization": HEADERS["Authorization"]})
    site.access(last.headers["X-Request-ID"])  # once this is in the log, so is all before it
    log = site.logs()
    lines = log.splitlines()
    assert [line for line in lines if "[error]" in line and "GET /path/die" in line]
    assert lines.count(f"*** Debugger PIN: {PIN}") == 1
    assert leaks(log, *others) == []


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", SECRETS["password"]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    file = tmp_path_factory.mktemp("passwords") / "passwords"
    file.write_text(f"ada:{hashed}")
    for folder in file.parents[:3]:
        folder.chmod(0o755)  # pytest's own are closed to the containers' user
    return file


def test_nothing_that_a_request_carries_is_in_a_log(
    kind: str, serve: Serve, passwords: Path
) -> None:
    site = serve(kind, files=(BREAKER,), DEBUG_PASSWORD_FILE=passwords, **KNOBS)
    statuses = {send(site, *request) for request in REQUESTS}
    assert statuses >= PROVOKED
    leave_early(site)
    with site.client(auth=("ada", SECRETS["password"])) as client:
        of_the_debugger = debug(client)
    if isinstance(site, HostSite):
        with nothing_live(site), site.client(auth=("ada", SECRETS["password"])) as client:
            assert client.get("/path/fine", params={"token": SECRETS["query"]}).status_code == 503
    assert_no_secret_is_logged(site, *of_the_debugger)


def test_nothing_that_a_request_carries_is_in_a_log_over_http_2(
    serve: Serve, tmp_path: Path, passwords: Path
) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for pem in pair.cert_chain_pems:
        pem.write_to_path(certificate, append=True)
    pair.private_key_pem.write_to_path(key)
    port = free_port()
    tls = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key, "HTTPS_PORT": port}
    site = serve("host", files=(BREAKER,), DEBUG_PASSWORD_FILE=passwords, **tls, **KNOBS)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(
        base_url=f"https://localhost:{port}",
        http2=True,
        verify=context,
        trust_env=False,
        timeout=60,
        auth=("ada", SECRETS["password"]),
    ) as client:
        of_the_debugger = debug(client)
        big = client.post("/path/fine", params={"token": SECRETS["query"]}, content=b"x" * 2000)
        assert (big.status_code, big.http_version) == (413, "HTTP/2")
        wrong = client.get(f"/path/fine?{QUERY}", auth=("ada", SECRETS["wrong password"]))
        assert wrong.status_code == 401
        last = client.get("/path/fine")
    with Wire(port) as wire:  # plain HTTP at the port of TLS
        wire.send(f"GET /path/fine?{QUERY} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert wire.reply().status in (308, 400)
    site.access(last.headers["X-Request-ID"])
    assert_no_secret_is_logged(site, *of_the_debugger)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_part_of_this_suite_leaves_no_secret_in_a_log_with_the_debugger_on() -> None:
    """`HOSTILE_DEBUGGER=1 pytest tests/hostile` runs all of it so, for a quarter of an hour."""
    part = "tests/hostile/test_smuggling.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not docker", part],
        cwd=PROJECT,
        env=os.environ | {"HOSTILE_DEBUGGER": "1", "PYTEST_ADDOPTS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Searched for secrets: \d{2,} lines of 1 sites", done.stdout)
