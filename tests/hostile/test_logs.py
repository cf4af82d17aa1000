"""Logs: no query, which tokens and the debugger's PIN travel in, and nothing that is cut off."""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.conftest import Serve
from tests.hostile.secrecy import WITH_DEBUGGER
from tests.hostile.sizes import PROBE
from tests.hostile.wire import ClosedError, Wire, request
from tests.servers import PROJECT, HostSite, Site, other_lines, until

# Each request has another one, so that a failure names what leaked.
TOKEN = "t0ken"
REFERER = b"Referer: http://127.0.0.1/?a b=" + TOKEN.encode() + b'-referer", x'

LIMITS = {
    "MOUNTS": "/path=probe:app",
    "WORKERS": 2,
    "MAX_BODY_SIZE": "1m",
    "REQUEST_TIMEOUT": 5,
    "CLIENT_REQUESTS_AT_ONCE": 4,
    "LC_ALL": "C.UTF-8",  # where some bytes are no character
}


@pytest.fixture
def failing_site(kind: str, shared_site: Serve) -> Site:
    """The probe with limits that are quick to reach."""
    return shared_site(kind, files=(PROBE,), **LIMITS)


@pytest.fixture
def failing_host_site(shared_site: Serve) -> HostSite:
    """The same, straight on this machine."""
    return shared_site("host", files=(PROBE,), **LIMITS)


def status(site: Site, target: str | bytes, *headers: bytes, method: bytes = b"GET") -> int:
    """The status of a request with a token in its query and in its Referer."""
    with Wire(site.port) as wire:
        return wire.send(request(target, REFERER, *headers, method=method)).reply().status


def leave(site: Site, raw: bytes) -> None:
    """Send it and close the connection."""
    with Wire(site.port) as wire:
        wire.send(raw)
        with contextlib.suppress(TimeoutError):
            wire.socket.settimeout(0.3)
            wire.socket.recv(1)


def too_many_at_once(site: Site) -> bool:
    with ThreadPoolExecutor(12) as pool:
        target = f"/path/wait?seconds=1&{TOKEN}=crowd"
        return 429 in pool.map(lambda _: status(site, target), range(12))


def recovered(site: Site) -> bool:
    with contextlib.suppress(ClosedError, OSError):
        return status(site, "/path/seen") == 200
    return False


# What a client does, the statuses that may come of it, and what nginx's error log says of it.
FAILURES: dict[str, tuple[Callable[[Site], object], set[object], str]] = {
    "413": (
        lambda site: status(
            site, f"/path/read?{TOKEN}=413", b"Content-Length: 9999999", method=b"POST"
        ),
        {413},
        "client intended to send too large body",
    ),
    "413 and a byte that is no character": (
        lambda site: status(
            site,
            b"/path/read?\xff" + TOKEN.encode(),
            b"Content-Length: 9999999",
            method=b"POST",
        ),
        {413},
        "client intended to send too large body",
    ),
    "414": (lambda site: status(site, f"/path/seen?{TOKEN}=414" + "x" * 9000), {414}, ""),
    "431": (lambda site: status(site, f"/path/seen?{TOKEN}=431", b"X: " + b"x" * 9000), {431}, ""),
    "400": (lambda site: status(site, f"/path/seen?{TOKEN}=400", b"Host: a"), {400}, ""),
    "404": (lambda site: status(site, f"/path/static/none.css?{TOKEN}=404"), {404}, ""),
    "outside": (lambda site: status(site, f"/?{TOKEN}=outside"), {404}, ""),
    "429": (too_many_at_once, {True}, ""),
    "499": (lambda site: leave(site, request(f"/path/wait?seconds=1&{TOKEN}=499")), {None}, ""),
    "aborted upload": (
        lambda site: leave(
            site,
            request(f"/path/read?{TOKEN}=upload", b"Content-Length: 900000", method=b"POST")
            + b"x" * 100_000,
        ),
        {None},
        "",
    ),
    "left download": (
        lambda site: leave(site, request(f"/path/response?body=9000000&{TOKEN}=download")),
        {None},
        "",
    ),
    "large headers": (
        lambda site: status(site, f"/path/response?cookies=3&size=60000&{TOKEN}=headers"),
        {200, 500, 502},
        "",
    ),
    "502": (
        lambda site: status(site, f"/path/exit?{TOKEN}=502"),
        {502},
        "while reading response header from upstream",
    ),
    "504": (
        lambda site: status(site, f"/path/wait?seconds=20&{TOKEN}=504"),
        {200} if WITH_DEBUGGER else {502, 504},  # with the debugger on there is no deadline
        "",
    ),
}


def leaks(site: Site, *, access_log: bool) -> list[str]:
    """The lines with a token in them; those of the access log count if asked for."""
    lines = site.logs().splitlines() if access_log else other_lines(site.logs())
    return [line for line in lines if TOKEN in line]


def fail(site: Site, name: str) -> None:
    act, statuses, message = FAILURES[name]
    assert act(site) in statuses
    until(lambda: recovered(site), "a worker in the place of an ended one", 60)
    if message:
        until(lambda: message in site.logs("nginx"), f"{message!r} in the log", 60)


@pytest.mark.parametrize("name", FAILURES)
def test_no_query_of_a_failed_request_is_in_the_error_log(failing_site: Site, name: str) -> None:
    fail(failing_site, name)
    assert leaks(failing_site, access_log=False) == []


def test_no_query_is_in_the_error_log_while_the_app_is_away(failing_host_site: HostSite) -> None:
    site = failing_host_site
    live = site.folder / ".run" / "sockets" / "live.sock"
    away = live.with_name("away")
    live.rename(away)
    try:
        assert status(site, f"/path/seen?{TOKEN}=away") == 503
    finally:
        away.rename(live)
    message = r'failed \(2: No such file or directory\).* request: "GET /path/seen\?\.\.\. HTTP/1'
    until(lambda: re.search(message, site.logs()), "the outage in the log", 60)
    assert leaks(site, access_log=False) == []


def test_with_the_debugger_on_no_query_is_in_any_log(shared_site: Serve) -> None:
    site = shared_site(
        "host",
        files=(PROBE,),
        MOUNTS="/path=probe:app",
        WORKERS=2,
        MAX_BODY_SIZE="1m",
        CLIENT_REQUESTS_AT_ONCE=4,
        UWSGI_DEBUG=1,
        DEBUG_ALLOW="127.0.0.1",
    )
    for name in FAILURES:
        if name != "504":  # with the debugger on there is no deadline
            fail(site, name)
    pin = f"/path/?__debugger__=yes&cmd=pinauth&pin={TOKEN}-pin&s={TOKEN}-secret"
    assert status(site, pin) in {200, 400, 403, 404, 410}
    with Wire(site.port, source="127.0.0.9") as wire:
        assert wire.send(request(pin, REFERER)).reply().status == 403
    until(lambda: "access forbidden by rule" in site.logs(), "the 403 in the log", 60)
    assert leaks(site, access_log=True) == []


# --- The filter of the error log ---

START = "2026/11/30 02:00:00 [error] 7#7: *1 "
REQUEST = START + "message, client: 127.0.0.1, server: localhost, "


def filtered(log: str) -> str:
    """What the filter makes of it."""
    done = subprocess.run(
        ["sed", "-n", "-f", PROJECT / "nginx" / "error-log.sed"],
        input=log.encode("latin-1"),
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        check=True,
    )
    return done.stderr.decode("latin-1")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('request: "GET /a?b=c HTTP/1.1"', 'request: "GET /a?... HTTP/1.1"'),
        ('request: "GET /a?b=c?d", host: "x"', 'request: "GET /a?... host: "x"'),
        (
            'request: "GET /a", referrer: "http://x/?b c", y?z"',
            'request: "GET /a", referrer: "http://x/?..."',
        ),
        ('request: "GET /a?b" "c?d HTTP/1.1"', 'request: "GET /a?... "c?... HTTP/1.1"'),
        ('request: "GET /a HTTP/1.1", host: "x"', 'request: "GET /a HTTP/1.1", host: "x"'),
        ('request: "GET /a?' + "x" * 1900, 'request: "GET /a?...'),
        ('request: "GET /a%3Fb HTTP/1.1"', 'request: "GET /a%3Fb HTTP/1.1"'),
    ],
)
def test_a_query_is_cut_and_the_rest_stays(line: str, expected: str) -> None:
    assert filtered(REQUEST + line + "\n") == REQUEST + expected + "\n"


PROXY = '" while reading PROXY protocol, client: 127.0.0.1, server: 0.0.0.0:80'
UNKNOWN = '" was not found in "passwords", client: 127.0.0.1, server: localhost'


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f'user "ada{UNKNOWN}', f'user "...{UNKNOWN}'),
        (f'user "a\nd\xff\na{UNKNOWN}', f'user "...{UNKNOWN}'),
        (f'user "{"a" * 2999}', 'user "..."'),
        (
            'user "ada": password mismatch, client: ::1',
            'user "ada": password mismatch, client: ::1',
        ),
        (f'broken header: "GET /?a HTTP/1.1\r\nb: c\r\n\r\n{PROXY}', f'broken header: "...{PROXY}'),
        ('user "' + "\n" * 2999, 'user "..."'),
        ('broken header: "' + "ab\r\n" * 500, 'broken header: "..."'),
        (
            r'upstream sent invalid header: "Set-Cookie: a=b\x00..." while reading response',
            'upstream sent invalid header: "Set-Cookie: ..." while reading response',
        ),
        ("a\33[31mb\x7f\xc3\xa9", "a.[31mb.\xc3\xa9"),
    ],
)
def test_what_a_client_sends_in_place_of_a_name_or_a_header_is_cut(
    message: str, expected: str
) -> None:
    following = f"{START}something else\n"
    cut_off = (START + message)[:2047]
    assert filtered(f"{cut_off}\n{following}") == f"{START}{expected}\n{following}"


def test_a_line_of_the_error_log_is_one_write() -> None:
    """So that no line of the access log comes between."""
    script = (PROJECT / "nginx" / "start.sh").read_text()
    command = re.search(r"^while (.* sed .*) <nginx/error-log;", script, re.MULTILINE)[1]
    lines = [f"{START}{letter * 1500}\n".encode() for letter in "abc"]
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps writes apart
    with reader, writer:
        subprocess.run(
            ["sh", "-c", command], cwd=PROJECT, input=b"".join(lines), stderr=writer, check=True
        )
        assert [reader.recv(9999) for _ in lines] == lines


def test_a_hundred_lines_at_once_all_arrive_whole(failing_host_site: HostSite) -> None:
    def lines() -> list[str]:
        said = failing_host_site.logs("nginx").splitlines()
        return [line for line in said if "too large body" in line and "/path/read" in line]

    before = len(lines())
    for _ in range(100):
        fail_413 = FAILURES["413"][0]
        assert fail_413(failing_host_site) == 413
    until(lambda: len(lines()) >= before + 100, "all of the lines", 60)
    whole = r'.* \[error\] .* request: "POST /path/read\?\.\.\. HTTP/1\.1", host: "localhost".*"'
    assert [line for line in lines() if not re.fullmatch(whole, line)] == []


def test_when_nginx_is_killed_the_site_ends_and_its_last_words_are_there(serve: Serve) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m", WORKERS=1)
    for _ in range(20):
        assert FAILURES["413"][0](site) == 413
    # The first of its name in the order of their start.
    master = next(process for process in site.processes() if process.name() == "nginx")
    master.kill()
    assert site.wait(60) == 1
    assert len(re.findall(r"too large body.* /path/read", site.logs())) == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_to_nginxs_script_reaches_nginx_and_ends_both(serve: Serve, number: int) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", WORKERS=1)
    script = next(process for process in site.processes() if process.name() == "start.sh")
    children = script.children(recursive=True)
    script.send_signal(number)
    gone, alive = psutil.wait_procs([script, *children], timeout=60)
    assert (len(gone) >= 4, alive) == (True, [])


@pytest.mark.docker
def test_a_container_whose_nginx_does_not_start_says_why(shared_site: Serve) -> None:
    site = shared_site("compose", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")
    # An address to settings.sh, and none to nginx.
    words = "run", "--rm", "--no-deps", "-e", "TRUSTED_PROXIES=192.0.2.1.7", "nginx"
    done = site.compose(*words, check=False)
    assert done.returncode == 1
    assert "[emerg]" in done.stdout + done.stderr
    assert "192.0.2.1.7" in done.stdout + done.stderr


def test_nginx_starts_without_a_warning(host_site: Site) -> None:
    lines = [line for line in host_site.logs().splitlines() if "[warn]" in line]
    # Other tests send large bodies to the same site.
    assert not [line for line in lines if "is buffered to a temporary file" not in line]
