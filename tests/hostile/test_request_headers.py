"""Headers that apps believe: they come from nginx or a trusted proxy alone."""

import contextlib
import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import findings as settings
from deploy.settings import knobs
from tests.conftest import Serve
from tests.hostile.names import BELIEVED, HOSTS, NO_HOSTS, ORDINARY
from tests.hostile.secrecy import WITH_DEBUGGER
from tests.hostile.sizes import PROBE
from tests.hostile.wire import Wire, request
from tests.servers import KNOBS, PROJECT, HostSite, NotServedError, Site, nginx_in_front, until

DROPPED = (PROJECT / "nginx" / "snippets" / "dropped-headers.conf").read_text()
# What a proxy sets for each request, also of a client that is not signed in.
IDENTITY = "X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-My-User"
UNTRUSTED = "127.0.0.9"


# By these, a client without TRUSTED_PROXIES is an undeclared proxy.
CLIENT = (PROJECT / "nginx" / "snippets" / "client.conf").read_text()
SPEAKS_FOR_OTHERS = re.search(r'map "([^"]*)" \$speaks_for_others', CLIENT)[1]
FOR_OTHERS = {name.replace("_", "-") for name in re.findall(r"\$http_(\w+)", SPEAKS_FOR_OTHERS)}


def names_seen(site: Site, names: Iterable[str], value: str = "spoofed") -> set[str]:
    """Those of the headers that reach the app, in small letters.

    With the debugger on, an undeclared proxy is rejected, so its headers reach no app.
    """
    lines = [(name, value) for name in names]
    if WITH_DEBUGGER and not site.environment.get("TRUSTED_PROXIES"):
        for line in [line for line in lines if line[0].lower() in FOR_OTHERS]:
            assert site.ask("/path/seen", [line]).status == 403
            lines.remove(line)
    response = site.ask("/path/seen", lines)
    assert response.status == 200, response.text
    seen = [name for name, got in response.json().items() if value in str(got)]
    return {name.removeprefix("HTTP_").replace("_", "-").lower() for name in seen}


@pytest.mark.parametrize("who", BELIEVED)
def test_no_header_that_apps_believe_comes_from_a_client(site: Site, who: str) -> None:
    names = BELIEVED[who].split()
    assert names_seen(site, names) == set()
    assert names_seen(site, [name.lower() for name in names]) == set()
    assert names_seen(site, [name.replace("-", "_") for name in names]) == set()


def test_no_header_of_nginxs_list_reaches_the_app(host_site: Site) -> None:
    names = re.findall(r"^uwsgi_param HTTP_(\w+) ", DROPPED, re.MULTILINE)
    assert len(names) == len(set(names)) > 300
    for start in range(0, len(names), 100):
        some = [name.replace("_", "-") for name in names[start : start + 100]]
        assert names_seen(host_site, some) == set()


def test_ordinary_headers_reach_the_app(site: Site) -> None:
    assert names_seen(site, ORDINARY.split()) == set(ORDINARY.lower().split())


def test_a_header_with_an_underscore_does_not_reach_the_app_as_with_flask_run(site: Site) -> None:
    assert names_seen(site, ["api_key", "X_Api-Key", "_a", "Remote_User"]) == set()


# --- Settings ---


@pytest.fixture
def single_sign_on(shared_site: Serve) -> HostSite:
    """The probe behind a proxy that says who is signed in: the tester, as 127.0.0.1."""
    return shared_site(
        "host",
        files=(PROBE,),
        MOUNTS="/path=probe:app",
        TRUSTED_PROXIES="127.0.0.1",
        IDENTITY_HEADERS=IDENTITY,
        PASS_HEADERS="X-Forwarded-Prefix x-script-name",
    )


def test_identities_are_believed_from_a_trusted_proxy(single_sign_on: Site) -> None:
    assert names_seen(single_sign_on, IDENTITY.split()) == set(IDENTITY.lower().split())


@pytest.mark.parametrize("value", [b"ada", b"", b"127.0.0.1"])
def test_identities_are_dropped_from_any_other_client(single_sign_on: Site, value: bytes) -> None:
    lines = [b"%s: %s" % (name.encode(), value) for name in IDENTITY.split()]
    with Wire(single_sign_on.port, source=UNTRUSTED) as wire:
        forwarded = wire.send(request("/path/seen", *lines, b"X-Forwarded-For: 127.0.0.1")).reply()
        if WITH_DEBUGGER:  # which rejects an undeclared proxy
            assert forwarded.status == 403
            forwarded = wire.send(request("/path/seen", *lines)).reply()
    seen = json.loads(forwarded.body)
    assert not [name for name in seen if "USER" in name or "AUTH" in name]


def test_a_trusted_proxy_is_believed_about_no_other_identity(single_sign_on: Site) -> None:
    others = {*" ".join(BELIEVED.values()).split()} - {*IDENTITY.split()}
    others -= {"X-Forwarded-Prefix", "X-Script-Name"}
    assert names_seen(single_sign_on, sorted(others)) == set()


def test_a_dropped_header_can_be_let_through_from_any_client(single_sign_on: Site) -> None:
    with Wire(single_sign_on.port, source=UNTRUSTED) as wire:
        lines = b"X-Forwarded-Prefix: /a", b"X-SCRIPT-NAME: /b", b"X-Forwarded-Path: /c"
        seen = json.loads(wire.send(request("/path/seen", *lines)).reply().body)
    assert (seen["HTTP_X_FORWARDED_PREFIX"], seen["HTTP_X_SCRIPT_NAME"]) == ("/a", "/b")
    assert "HTTP_X_FORWARDED_PATH" not in seen


@pytest.mark.parametrize("name", ["X-Auth-Request-User", "X-My-User", "X-Forwarded-Prefix"])
def test_a_page_with_a_header_that_was_let_through_is_not_cached(
    single_sign_on: Site, name: str
) -> None:
    target = f"/path/public?{name}"
    for value in ("ada", "bob"):
        response = single_sign_on.ask(target, {name: value})
        assert value in response.text
        assert "X-Cache" not in response.headers
    assert single_sign_on.ask(target).headers["X-Cache"] == (None if WITH_DEBUGGER else "miss")
    # And no page of the cache is for a user who is signed in.
    assert "cem" in single_sign_on.ask(target, {name: "cem"}).text
    # With the debugger on there is no cache at all.
    assert single_sign_on.ask(target).headers["X-Cache"] == (None if WITH_DEBUGGER else "hit")


TRUSTED = {"TRUSTED_PROXIES": "10.0.0.7"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"IDENTITY_HEADERS": "Remote-User"}, "name the proxy that sets these headers in TRUSTED"),
        (
            TRUSTED | {"IDENTITY_HEADERS": "Remote-User", "PROXY_PROTOCOL": "1"},
            "without PROXY_PROTOCOL",
        ),
        ({"IDENTITY_HEADERS": "Host"} | TRUSTED, "'Host', which nginx sets itself"),
        ({"IDENTITY_HEADERS": "Remote_User"} | TRUSTED, "'Remote_User'; write names of headers"),
        ({"IDENTITY_HEADERS": 'a"b'} | TRUSTED, "write names of headers"),
        ({"IDENTITY_HEADERS": "a" * 41} | TRUSTED, "write names of headers"),
        (
            {"IDENTITY_HEADERS": "Remote-User", "PASS_HEADERS": "remote-user"} | TRUSTED,
            "both have 'remote-user'",
        ),
        ({"PASS_HEADERS": "x-real-ip"}, "'x-real-ip', which nginx sets itself"),
        ({"PASS_HEADERS": "Transfer-Encoding"}, "which nginx sets itself"),
        ({"PASS_HEADERS": "X_Forwarded_Prefix"}, "write names of headers"),
        (
            {"IDENTITY_HEADERS": "Remote-User", "TRUSTED_PROXIES": "0.0.0.0/1 128.0.0.0/1"},
            "which could sign in as any user",
        ),
    ],
)
def test_headers_that_cannot_be_let_through_are_rejected(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Refusal, match=re.escape(sentence)):
        knobs.read(settings, tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PASS_HEADERS": "X-Scirpt-Name"}, "PASS_HEADERS has 'X-Scirpt-Name'; write names out of"),
        (
            {"PASS_HEADERS": "Accept"},
            "PASS_HEADERS has 'Accept'; write names out of nginx/snippets",
        ),
    ],
)
def test_a_header_that_is_not_dropped_cannot_be_let_through(
    serve: Serve, settings: dict[str, str], sentence: str
) -> None:
    with pytest.raises(NotServedError, match=re.escape(sentence)):
        serve("host", **settings)


WHOLE_INTERNET = [
    *("0.0.0.0/0", "::/0", "0.0.0.0/1 128.0.0.0/1", "2000::/3", "10.0.0.0/8 0.0.0.0/2"),
    *("::1 2000::/4 3000::/4", "1.0.0.0/8 3.0.0.0/8", "192.0.0.0/3", "8000::/1 ::/1"),
]
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SERVER_NAMES": "example.com",
    "SECRET_KEY": "a key that only the tests know",
}


@pytest.mark.parametrize("proxies", WHOLE_INTERNET)
def test_a_trusted_proxy_that_is_everybody_does_not_satisfy_production(
    tmp_path: Path, proxies: str
) -> None:
    with pytest.raises(Refusal, match="which is a large part of the Internet"):
        knobs.read(PRODUCTION | {"TRUSTED_PROXIES": proxies}, tmp_path)


@pytest.mark.parametrize(
    "proxies",
    [
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "104.16.0.0/13 172.64.0.0/13 2400:cb00::/32 2606:4700::/32",
        "127.0.0.1 ::1",
    ],
)
def test_private_networks_and_those_of_a_delivery_network_do(tmp_path: Path, proxies: str) -> None:
    knobs.read(PRODUCTION | {"TRUSTED_PROXIES": proxies}, tmp_path)


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        ("*.com", ["*.com"]),
        ("example.com *.CO *.example.com", ["*.CO"]),
        ("*.localhost *.internal *.Test example.com", []),
    ],
)
def test_a_name_below_which_anybody_can_register_another_is_a_warning(
    tmp_path: Path, names: str, warned: list[str]
) -> None:
    found = [
        finding.message for finding in settings.look(knobs.read({"SERVER_NAMES": names}, tmp_path))
    ]
    assert [re.search("has '(.*?)'", text)[1] for text in found if "register" in text] == warned


# --- What nginx's own container checks ---

# Names, values, and a part of the sentence.
INJECTED = [
    ("SERVER_NAMES", "a; return 200 pwned"),
    ("SERVER_NAMES", "a;return"),
    ("SERVER_NAMES", "~^.*$"),
    ("SERVER_NAMES", "${host}"),
    ("SERVER_NAMES", "a\n}server{"),
    ("MAX_BODY_SIZE", "1m; alias /"),
    ("MAX_BODY_SIZE", "1m\n1m"),
    ("MAX_BODY_SIZE", ""),
    ("CACHE_SIZE", "1g; include /etc/passwd"),
    ("REQUEST_TIMEOUT", "60s; root /"),
    ("REQUEST_TIMEOUT", "60\n"),
    ("CLIENT_REQUESTS_AT_ONCE", "1;"),
    ("CLIENT_REQUESTS_PER_SECOND", "1r/s"),
    ("HSTS_SECONDS", '1"; return 200 "'),
    ("SECURITY_HEADERS", "X-Frame-Options;"),
    ("SECURITY_HEADERS", "$host"),
    ("PASS_HEADERS", "X-A;"),
    ("PASS_HEADERS", 'X"A'),
    ("IDENTITY_HEADERS", "X-A}"),
    ("TRUSTED_PROXIES", "10.0.0.1;"),
    ("TRUSTED_PROXIES", "unix: all"),
    ("DEBUG_ALLOW", "all"),
    ("DEBUG_ALLOW", "10.0.0.0/8; allow all"),
    ("DEBUG_PASSWORD_FILE", "a;b"),
    ("TLS_CERTIFICATE", "a b"),
    ("TLS_KEY", "$host"),
    ("TLS_KEY", 'a"b'),
    ("HTTPS_PORT", "443/evil"),
    ("LISTEN", "8080 default_server"),
    ("LISTEN_TLS", "unix:/tmp/x"),
    ("MOUNTS", "/a;=b:c"),
    ("MOUNTS", "/a{=b:c"),
    ("MOUNTS", "nothing"),
    ("ENVIRONMENT", "Production"),
    ("PROXY_PROTOCOL", "perhaps"),
    ("UWSGI_DEBUG", "2"),
]


def settings_of_nginx(**changed: str) -> dict[str, str]:
    ports = {"LISTEN": "8080", "LISTEN_TLS": "8443", "PATH": os.environ["PATH"]}
    return {name: value or "" for name, value in KNOBS.items()} | ports | changed


def check_settings(**changed: str) -> subprocess.CompletedProcess[str]:
    """What nginx's start script says of them, before it starts anything."""
    script = PROJECT / "nginx" / "settings.sh"
    return subprocess.run(
        ["sh", "-eu", script],
        env=settings_of_nginx(**changed),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("name", "value"), INJECTED)
def test_nginx_rejects_a_setting_that_would_become_another_directive(name: str, value: str) -> None:
    done = check_settings(**{name: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"nginx: {name} has '")
    assert done.stderr.rstrip().endswith(".")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"SERVER_NAMES": "example.com *.example.com  [::1]\n192.0.2.1"},
        {"TRUSTED_PROXIES": "10.0.0.0/8 2001:db8::1", "IDENTITY_HEADERS": "X-Forwarded-User"},
        {"MOUNTS": "/=a.b:app /x/y-z=shop:create_app()", "LISTEN": "[::1]:8080"},
        {"TLS_CERTIFICATE": "/run/secrets/tls", "TLS_KEY": "/srv/größe/key.pem"},
        {"UWSGI_DEBUG": "Yes", "DEBUG_ALLOW": "127.0.0.1 ::1", "HSTS_SECONDS": "63072000"},
    ],
)
def test_nginx_accepts_what_it_can_use(settings: dict[str, str]) -> None:
    done = check_settings(**settings)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_that_nginx_is_given_is_checked_there() -> None:
    script = (PROJECT / "nginx" / "settings.sh").read_text()
    services = (PROJECT / "deploy" / "compose" / "services.yml").read_text()
    nginx = re.search(r"^  nginx:\n((?:    .*|\s*)\n)+", services, re.MULTILINE)[0]
    given = re.findall(r"^      - ([A-Z_]+)", nginx, re.MULTILINE)
    assert len(given) > 15
    assert not [name for name in given if not re.search(rf"\b{name}\b", script)]


@pytest.mark.docker
def test_nginxs_container_started_alone_rejects_what_the_app_would_have(shared_site: Serve) -> None:
    site = shared_site("compose", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")
    injected = "SERVER_NAMES=a; return 200 pwned"
    done = site.compose("run", "--rm", "--no-deps", "-e", injected, "nginx", check=False)
    assert done.returncode == 2
    assert "nginx: SERVER_NAMES has 'a;'; write host names" in done.stdout + done.stderr


# --- An example of single sign-on ---

EXAMPLE = (PROJECT / "docs" / "headers.md").read_text()


class OAuth2Proxy(http.server.BaseHTTPRequestHandler):
    """What nginx sees of oauth2-proxy: 202 with headers, or 401."""

    def do_GET(self) -> None:
        user = re.search(r"_oauth2_proxy=(\w+)", self.headers.get("Cookie", ""))
        self.send_response(202 if user else 401)
        if user:
            self.send_header("X-Auth-Request-User", user[1])
            self.send_header("X-Auth-Request-Email", f"{user[1]}@example.com")
            self.send_header("X-Auth-Request-Groups", "staff,admins")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextlib.contextmanager
def oauth2_proxy_in_front(folder: Path, site: Site) -> Iterator[int]:
    """The nginx of docs/headers.md, with oauth2-proxy; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OAuth2Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    block = re.search(r"```nginx\n(.*?)```", EXAMPLE, re.DOTALL)[1]
    stand_ins = {
        "127.0.0.1:8080": f"127.0.0.1:{site.port}",
        "127.0.0.1:4180": f"127.0.0.1:{server.server_port}",
    }
    try:
        with nginx_in_front(folder, block, stand_ins) as port:
            yield port
    finally:
        server.shutdown()
        server.server_close()


def test_single_sign_on_with_oauth2_proxy_works_as_documented(
    single_sign_on: Site, tmp_path: Path
) -> None:
    identity = re.search(r"IDENTITY_HEADERS=(X-Auth-.*)", EXAMPLE)[1]
    assert {*identity.split()} <= {*IDENTITY.split()}
    spoofed = [b"X-Auth-Request-User: root", b"X-Auth-Request-Groups: wheel", b"Remote-User: root"]
    with oauth2_proxy_in_front(tmp_path, single_sign_on) as port:
        with Wire(port) as wire:
            reply = wire.send(request("/path/seen", *spoofed)).reply()
        assert (reply.status, "/oauth2/sign_in" in reply.headers["Location"]) == (302, True)
        with Wire(port) as wire:
            cookie = b"Cookie: _oauth2_proxy=ada"
            seen = json.loads(wire.send(request("/path/seen", cookie, *spoofed)).reply().body)
    got = {name: seen.get(f"HTTP_X_AUTH_REQUEST_{name}") for name in ("USER", "EMAIL", "GROUPS")}
    assert got == {"USER": "ada", "EMAIL": "ada@example.com", "GROUPS": "staff,admins"}
    assert "root" not in str(seen)


# --- Host names ---


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_name_or_an_address_is_a_host(host_site: Site, host: str) -> None:
    response = host_site.ask("/path/seen", {"Host": host})
    assert (response.status, response.json()["HTTP_HOST"]) == (200, host)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_name_is_400_while_any_name_is_served(host_site: Site, host: str) -> None:
    with Wire(host_site.port) as wire:
        reply = wire.send(b"GET /path/seen HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()).reply()
    assert reply.status == 400
    assert b"<center>nginx</center>" in reply.body


@pytest.mark.parametrize("host", ["a@b", "a, b", "<x>", "a:99999", "[1.2.3.4]"])
def test_a_trusted_proxy_can_bring_no_such_host_either(single_sign_on: Site, host: str) -> None:
    assert single_sign_on.ask("/path/seen", {"X-Forwarded-Host": host}).status == 400
    assert single_sign_on.ask("/path/seen", {"X-Forwarded-Host": "a.example"}).status == 200


def test_http_1_0_without_a_host_is_served(host_site: Site) -> None:
    with Wire(host_site.port) as wire:
        assert wire.send(b"GET /path/seen HTTP/1.0\r\n\r\n").reply().status == 200


# --- WebSockets ---

HANDSHAKE = {
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_websocket_is_told_that_it_is_not_available(site: Site, value: str) -> None:
    response = site.ask("/path/seen?token=secret", HANDSHAKE | {"Upgrade": value})
    assert response.status == 501
    assert response.headers.get_content_type() == "text/plain"
    assert "WebSockets are not available" in response.text
    line = "A WebSocket handshake for /path/seen was rejected with 501"
    until(lambda: line in site.logs("nginx"), "the sentence in the log")


@pytest.mark.parametrize("headers", [{"Upgrade": "h2c"}, {}, {"X-Upgrade": "websocket"}])
def test_what_asks_for_no_websocket_reaches_the_app(
    host_site: Site, headers: dict[str, str]
) -> None:
    """So does Socket.IO's long polling."""
    assert host_site.ask("/path/seen?transport=polling&EIO=4", headers).status == 200
