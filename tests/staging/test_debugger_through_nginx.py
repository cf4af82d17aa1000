"""The debugger as people meet it: through nginx, by `make serve` and by Compose alike."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from tests.servers import ComposeSite, HostSite, NotServedError, Site, access_log, until

PIN = "3141-5926-5358-9793-2384-62643"
KNOBS = {"UWSGI_DEBUG": "1", "WERKZEUG_DEBUG_PIN": PIN, "WORKERS": 4, "THREADS": 4}
# An app that tells which modules its worker has, and names a user in a local variable.
LISTER = """
import sys
from flask import Flask

app = Flask(__name__)

@app.route("/modules")
def modules():
    return sorted(sys.modules)

@app.route("/fail/<token>")
def fail(token):
    raise LookupError(token)
"""


@pytest.fixture
def lister(tmp_path: Path) -> Path:
    path = tmp_path / "lister.py"
    path.write_text(LISTER)
    return path


@pytest.fixture
def staging(kind: str, shared_site: Callable[..., Site]) -> Site:
    return shared_site(kind, **KNOBS)


def commands_of(page: httpx.Response) -> dict[str, str]:
    """What the page's own JavaScript sends with each of its commands."""
    secret = re.search(r'SECRET = "([^"]+)"', page.text)
    frames = re.findall(r'id="frame-(\d+)"', page.text)
    assert all((secret, frames)), f"no traceback page: {page.status_code}\n{page.text[:2000]}"
    return {"__debugger__": "yes", "s": secret[1], "frm": frames[-1]}


def test_the_last_frame_answers_for_whoever_has_the_pin(staging: Site) -> None:
    with staging.client() as browser:
        failed = commands_of(browser.get("/path/boom?visitor=Ada"))
        unasked = browser.get("/path/boom", params=failed | {"cmd": "guests"})
        assert unasked.status_code == 403, unasked.text

        login = {key: failed[key] for key in ("__debugger__", "s")} | {"cmd": "pinauth", "pin": PIN}
        assert browser.get("/path/boom", params=login).json()["auth"]
        for _ in range(40):  # enough for each of the four workers to be asked
            response = browser.get("/path/boom", params=failed | {"cmd": "bill, guests"})
            assert (response.status_code, "2.0" in response.text) == (200, True), response.text


def test_pin_secret_and_commands_are_in_no_access_log(staging: Site) -> None:
    with staging.client() as browser:
        failed = commands_of(browser.get("/path/boom"))
        command = "'not for the log'"
        last = browser.get("/path/boom", params=failed | {"cmd": command, "pin": PIN})
    line = staging.access(last.headers["X-Request-ID"])
    assert line["uri"] == "/path/boom"
    logged = str(access_log(staging.logs()))
    for hidden in (PIN, failed["s"], "not for the log", "not%20for", "not+for", "__debugger__"):
        assert hidden not in logged


def test_the_traceback_is_in_the_log_at_once(staging: Site) -> None:
    with staging.client() as browser:
        browser.get("/path/boom?visitor=visitor-in-a-hurry")
    until(lambda: "in price_of_each" in staging.logs(), "the traceback in the log")


def test_the_log_shows_the_pin_and_a_warning_once(staging: Site) -> None:
    assert staging.logs().count(PIN) == 1
    assert staging.logs().count("the PIN allows code execution") == 1


def test_clients_of_an_undeclared_proxy_are_rejected(staging: Site) -> None:
    for header in (
        "X-Forwarded-For: 8.8.8.8",
        "X-Forwarded-Proto: https",
        "Forwarded: for=8.8.8.8",
        "X-Real-IP: 8.8.8.8",
        "X-Forwarded-Host: staging.example.com",
        "Via: 1.1 proxy",
        "CF-Connecting-IP: 8.8.8.8",
    ):
        name, _, value = header.partition(": ")
        assert staging.ask("/path/boom", {name: value}).status == 403, header


def test_a_command_as_long_as_nginx_allows_is_obeyed(staging: Site) -> None:
    with staging.client() as browser:
        failed = commands_of(browser.get("/path/boom"))
        login = {key: failed[key] for key in ("__debugger__", "s")} | {"cmd": "pinauth", "pin": PIN}
        browser.get("/path/boom", params=login)
        head = len("GET /path/boom? HTTP/1.1\r\n" + urlencode(failed | {"cmd": ""}))
        command = "1" * (7 * 1024 - head)  # nginx's large_client_header_buffers: 7 kB a line
        response = browser.get("/path/boom", params=failed | {"cmd": f"len('{command[20:]}')"})
        assert (response.status_code, str(len(command) - 20) in response.text) == (200, True)


def test_every_app_that_is_mounted_is_debugged(serve: Callable[..., Site], lister: Path) -> None:
    mounts = "/=lister:app /a/b=yourapplication:create_app()"
    site = serve("host", files=[lister], MOUNTS=mounts, **KNOBS)
    with site.client() as browser:
        for path, word in (("/fail/here", "LookupError"), ("/a/b/boom", "ZeroDivisionError")):
            page = browser.get(path)
            assert word in page.text
            commands_of(page)


def debugger_modules(site: Site) -> list[str]:
    with site.client() as browser:
        loaded = browser.get("/path/modules").json()
    return [name for name in loaded if name.startswith(("werkzeug.debug", "deploy.worker.debug"))]


@pytest.mark.parametrize("off", [None, "", "0", "false", "no", "off", "OFF"])
def test_switched_off_in_any_spelling_it_is_not_even_loaded(
    off: str | None, serve: Callable[..., Site], lister: Path
) -> None:
    knobs = {} if off is None else {"UWSGI_DEBUG": off}
    site = serve("host", files=[lister], MOUNTS="/path=lister:app", WORKERS=1, **knobs)
    assert debugger_modules(site) == []


def test_switched_on_it_is_loaded_whatever_other_users_put_into_shared_directories(
    serve: Callable[..., Site], lister: Path, tmp_path: Path
) -> None:
    names = {f"debugger-{uid}-x" for uid in (0, os.getuid())} | {"debugger", "app-1.debug", "lock"}
    shared = tmp_path / "tmp"
    for name in names:
        (shared / name).mkdir(mode=0o777, parents=True)
    knobs = {"MOUNTS": "/path=lister:app", "WORKERS": 1, "UWSGI_DEBUG": "yes", "TMPDIR": shared}
    site = serve("host", files=[lister], **knobs)
    assert "deploy.worker.debugged" in debugger_modules(site)
    assert site.ask("/path/fail/x").status == 500
    assert {path.name for path in shared.iterdir()} == names, "it puts files there itself"


def test_the_pin_is_in_no_environment(staging: Site, kind: str) -> None:
    if kind == "host":
        assert isinstance(staging, HostSite)
        uwsgi = [p for p in staging.processes() if "uwsgi.ini:uwsgi" in " ".join(p.cmdline())]
        assert uwsgi
        for process in uwsgi:
            assert PIN not in str(process.environ())
    else:
        assert isinstance(staging, ComposeSite)
        shown = staging.compose("exec", "app", "cat", "/proc/1/environ").stdout
        assert "UWSGI_DEBUG=1" in shown
        assert PIN not in shown


def test_it_survives_a_reload_of_uwsgi(serve: Callable[..., Site]) -> None:
    site = serve("host", **KNOBS)
    assert isinstance(site, HostSite)
    with site.client() as browser:
        old = commands_of(browser.get("/path/boom"))
        master = next(
            process
            for process in site.processes()
            if "uwsgi.ini:uwsgi" in " ".join(process.cmdline())
        )
        master.send_signal(signal.SIGHUP)
        until(lambda: site.logs().count("spawned uWSGI worker 4") > 1, "the reloaded workers")
        stale = browser.get("/path/boom", params=old | {"cmd": "guests"})
        assert stale.status_code == 410, stale.text
        commands_of(browser.get("/path/boom"))


def test_only_listed_addresses_come_near_it(serve: Callable[..., Site]) -> None:
    elsewhere = serve("host", HTTP_ADDRESS="0.0.0.0", DEBUG_ALLOW="192.0.2.0/24", **KNOBS)
    assert elsewhere.ask("/path/").status == 403
    assert elsewhere.ask("/path/boom").status == 403
    here = serve("host", HTTP_ADDRESS="0.0.0.0", DEBUG_ALLOW="192.0.2.0/24 127.0.0.1", **KNOBS)
    assert here.ask("/path/").status == 200


def test_only_those_with_a_password_come_near_it(
    kind: str, serve: Callable[..., Site], tmp_path: Path
) -> None:
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "sesame"], capture_output=True, text=True, check=True
    ).stdout
    passwords = tmp_path / "passwords"
    passwords.write_text(f"ada:{hashed}")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest's own are closed to the containers' user
    site = serve(kind, HTTP_ADDRESS="0.0.0.0", DEBUG_PASSWORD_FILE=passwords, **KNOBS)
    with site.client() as browser:
        assert browser.get("/path/").status_code == 401
        assert browser.get("/path/", auth=("ada", "open")).status_code == 401
        assert browser.get("/path/", auth=("ada", "sesame")).status_code == 200


SPELLINGS = [
    "__debugger__=yes&cmd=pinauth",
    "cmd=pinauth&__debugger__=yes",
    "__debugger%5f%5F=yes",
    "%5F%5fdebugger__=yes",
    "__%64ebugge%72__=yes",
    "".join(f"%{ord(letter):02x}" for letter in "__debugger__") + "=yes",
    "".join(f"%{ord(letter):02X}" for letter in "__debugger__") + "=%79es",
    "a=b;__debugger__=yes",
]


@pytest.fixture
def production(kind: str, shared_site: Callable[..., Site]) -> Site:
    return shared_site(
        kind,
        ENVIRONMENT="production",
        SERVER_NAMES="127.0.0.1",
        SECRET_KEY="a key that only the tests know",
        TRUSTED_PROXIES="192.0.2.1",  # or it would want TLS
    )


@pytest.mark.parametrize("query", SPELLINGS)
def test_in_production_nginx_answers_404_to_a_debugger_command(
    production: Site, query: str
) -> None:
    response = production.ask(f"/path/?{query}")
    assert response.status == 404
    assert not production.reached_the_app(response)


@pytest.mark.parametrize("query", ["debugger=yes", "a=__debug__", "q=de_bugger__"])
def test_in_production_other_queries_pass(production: Site, query: str) -> None:
    assert production.ask(f"/path/?{query}").status == 200


@pytest.mark.docker
def test_the_production_overlay_refuses_the_debugger(serve: Callable[..., Site]) -> None:
    with pytest.raises(NotServedError, match="ENVIRONMENT is 'production' and UWSGI_DEBUG is '1'"):
        serve(
            "compose",
            COMPOSE_FILE="docker-compose.yml:deploy/compose/production.yml",
            SERVER_NAMES="127.0.0.1",
            SECRET_KEY="a key that only the tests know",
            **KNOBS,
        )


def test_the_gentler_mode_shows_a_traceback_and_no_console(
    kind: str, serve: Callable[..., Site]
) -> None:
    site = serve(kind, FLASK_DEBUG="1")
    response = site.ask("/path/boom")
    assert response.status == 500
    assert "float division by zero" in response.text
    assert "price_of_each" in response.text
    assert "SECRET" not in response.text
    assert site.ask("/path/").status == 200
