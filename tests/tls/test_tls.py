"""HTTPS: the way there, what it promises, and what the app learns of it."""

import json
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme
from sslyze import ServerScanResult
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    TlsConfigurationEnum,
)

from tests.conftest import Serve
from tests.hostile.names import BELIEVED
from tests.servers import HostSite, NotServedError, Site, free_port, until
from tests.tls import scanner
from tests.tls.conftest import https, write_pair


def handshake(
    site: Site, trusting: ssl.SSLContext, name: str | None, alpn: tuple[str, ...] = ()
) -> ssl.SSLSocket:
    """Connect and ask for a name, or for none."""
    trusting.set_alpn_protocols(list(alpn) or ["http/1.1"])
    check, trusting.check_hostname = trusting.check_hostname, name is not None
    try:
        raw = socket.create_connection(
            ("127.0.0.1", int(site.environment["HTTPS_PORT"])), timeout=60
        )
        return trusting.wrap_socket(raw, server_hostname=name)
    finally:
        trusting.check_hostname = check


def serial_number(site: Site, trusting: ssl.SSLContext) -> str:
    """What distinguishes the certificate that the site shows now."""
    with handshake(site, trusting, "localhost") as connection:
        return connection.getpeercert()["serialNumber"]


# --- The way there ---


@pytest.mark.parametrize("target", ["/path/", "/path", "/path/form?x=%2F&y=1", "/nowhere", "//x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_shows_the_way_to_https(secure: Site, target: str, method: str) -> None:
    response = secure.ask(target, {"Host": f"site.example:{secure.port}"}, method, b"x=1")
    assert response.status == 308, "this one keeps the method"
    port = secure.environment["HTTPS_PORT"]
    assert response.headers["Location"] == f"https://site.example:{port}{target}"
    assert not secure.reached_the_app(response)


def test_at_the_usual_port_the_way_there_names_none(serve: Serve, pair: dict[str, Path]) -> None:
    site = HostSite(HTTPS_PORT=443, **pair)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy", "render", "rendered"],
            cwd=site.folder,
            env=site.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        redirect = site.folder / "rendered/nginx/servers/redirect-to-tls.conf"
        assert "return 308 https://$host$request_uri;" in redirect.read_text()
    finally:
        site.clean_up()


def test_plain_http_at_the_port_of_https_shows_the_way_too(secure: Site) -> None:
    port = int(secure.environment["HTTPS_PORT"])
    with httpx.Client(trust_env=False, timeout=60) as client:
        response = client.get(f"http://localhost:{port}/path/form?x=1")
    assert response.status_code == 308
    assert response.headers["Location"] == f"https://localhost:{port}/path/form?x=1"


# --- What the app learns ---


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
def test_the_app_sees_https_and_the_host_with_its_port(
    secure: Site, trusting: ssl.SSLContext, http2: bool
) -> None:
    with httpx.Client(verify=trusting, http2=http2, trust_env=False, timeout=60) as client:
        response = client.get(f"{https(secure)}/path/inspect?x=1")
    assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    seen = response.json()
    assert seen["scheme"] == "https"
    assert seen["url"] == f"{https(secure)}/path/inspect?x=1"
    assert seen["external_url"] == f"{https(secure)}/path/"
    names = [name for name, _ in seen["headers"]]
    assert names.count("Host") == 1


def test_a_form_with_a_session_works_over_http2_and_its_cookie_is_secure(
    client: httpx.Client,
) -> None:
    page = client.get("/path/form")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]
    # Over TLS, Flask-WTF wants to see where the form came from.
    response = client.post(
        "/path/form",
        data={"csrf_token": token, "name": "Ada"},
        headers={"Referer": str(page.url)},
        follow_redirects=True,
    )
    assert "Hello, Ada!" in response.text
    assert response.http_version == "HTTP/2"
    assert "; Secure;" in page.headers["Set-Cookie"]


def test_an_upload_of_a_megabyte_arrives_over_http2(client: httpx.Client) -> None:
    response = client.post("/path/upload", content=b"x" * 1_000_000)
    assert response.json()["size"] == 1_000_000


@pytest.mark.parametrize("name", ["spoofed.example", "localhost:@spoofed.example"])
def test_over_http2_too_a_name_that_is_not_ours_never_reaches_the_app(
    secure: Site, client: httpx.Client, name: str
) -> None:
    response = client.get("/path/inspect", headers={"Host": name})
    assert response.http_version == "HTTP/2"
    assert response.status_code in {400, 421}
    assert not secure.reached_the_app(response)


def test_over_http2_too_no_header_that_apps_believe_comes_from_a_client(
    client: httpx.Client,
) -> None:
    believed = {name.lower(): "spoofed" for name in " ".join(BELIEVED.values()).split()}
    response = client.get("/path/inspect", headers=believed)
    assert (response.http_version, response.status_code) == ("HTTP/2", 200)
    assert "spoofed" not in response.text


@pytest.mark.parametrize("name", ["a@b", "<x>", "a:99999", "[1.2.3.4]", "localhost:x", "a b"])
def test_over_http2_too_what_is_no_host_name_never_reaches_the_app(
    secure: Site, client: httpx.Client, name: str
) -> None:
    response = client.get("/path/inspect", headers={"Host": name})
    assert (response.http_version, response.status_code in {400, 421}) == ("HTTP/2", True)
    assert not secure.reached_the_app(response)


def test_too_many_headers_over_http2_are_refused_as_over_http1(client: httpx.Client) -> None:
    sent = {
        size: client.get("/path/", headers={f"a{n}": "" for n in range(size)})
        for size in (500, 5000)
    }
    assert {size: response.status_code for size, response in sent.items()} == {500: 200, 5000: 431}


def test_one_huge_header_over_http2_ends_the_connection_and_no_more(
    secure: Site, client: httpx.Client
) -> None:
    # nginx has no gentler way: it does not even decode the header.
    with pytest.raises((httpx.RemoteProtocolError, httpx.NetworkError)):
        client.get("/path/", headers={"X-Huge": "x" * 64_000})
    assert client.get("/path/").status_code == 200


def test_a_plain_flask_app_is_told_to_mark_its_cookie_as_secure(secure: Site) -> None:
    (said,) = [line for line in secure.logs().splitlines() if "SESSION_COOKIE_SECURE" in line]
    assert said.startswith("deploy: W091 opinionated:app does not mark its session cookie")


class PassedOn(HostSite):
    """A site that only a proxy with the PROXY protocol can talk to."""

    def _is_up(self) -> bool:
        return "Serving " in self.logs()


def test_a_proxy_that_passes_tls_on_says_in_the_proxy_protocol_who_the_client_is(
    pair: dict[str, Path], trusting: ssl.SSLContext
) -> None:
    port = free_port()
    knobs = {"PROXY_PROTOCOL": 1, "TRUSTED_PROXIES": "127.0.0.1", "HTTPS_PORT": port, "WORKERS": 1}
    with PassedOn(**knobs, **pair), socket.create_connection(("127.0.0.1", port), 60) as raw:
        raw.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n")
        with trusting.wrap_socket(raw, server_hostname="localhost") as connection:
            connection.sendall(b"GET /path/inspect HTTP/1.0\r\nHost: localhost\r\n\r\n")
            seen = json.loads(
                b"".join(iter(lambda: connection.recv(9000), b"")).partition(b"\r\n\r\n")[2]
            )
    assert (seen["scheme"], seen["remote_addr"]) == ("https", "192.0.2.7")


# --- Names and protocols ---


@pytest.mark.parametrize("name", ["localhost", "site.example", "a.site.example"])
def test_a_name_of_ours_gets_a_connection(
    secure: Site, trusting: ssl.SSLContext, name: str
) -> None:
    with handshake(secure, trusting, name) as connection:
        assert connection.version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["spoofed.example", "example", "xsite.example", None])
def test_another_name_or_none_gets_no_connection(
    secure: Site, trusting: ssl.SSLContext, name: str | None
) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(secure, trusting, name)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["spoofed.example", "xsite.example", "localhost"])
def test_a_session_of_one_name_is_not_resumed_under_another(
    secure: Site, trusting: ssl.SSLContext, version: ssl.TLSVersion, name: str
) -> None:
    trusting.check_hostname = False  # or the client would not even ask
    trusting.minimum_version = trusting.maximum_version = version
    with handshake(secure, trusting, "localhost") as connection:
        connection.sendall(b"GET /path/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        session = connection.session
    raw = socket.create_connection(("127.0.0.1", int(secure.environment["HTTPS_PORT"])), 60)
    if name == "localhost":
        with trusting.wrap_socket(raw, server_hostname=name, session=session) as connection:
            assert not connection.session_reused
    else:
        with raw, pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            trusting.wrap_socket(raw, server_hostname=name, session=session)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1")],
)
def test_a_client_that_speaks_http2_gets_it(
    secure: Site, trusting: ssl.SSLContext, offered: tuple[str, ...], chosen: str
) -> None:
    with handshake(secure, trusting, "localhost", offered) as connection:
        assert connection.selected_alpn_protocol() == chosen


def test_plain_http_does_not_speak_http2(secure: Site) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


# --- The certificate ---


def test_a_renewed_certificate_is_shown_within_seconds_and_no_request_is_lost(
    serve: Serve, authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    pair = write_pair(authority, tmp_path)
    site = serve("host", WORKERS=1, HTTPS_PORT=free_port(), **pair)
    first = serial_number(site, trusting)
    url = f"{https(site)}/path/events?count=8&interval=1"
    with httpx.stream("GET", url, verify=trusting, trust_env=False, timeout=60) as response:
        events = (line for line in response.iter_lines() if line)
        next(events)  # now it surely is in flight
        write_pair(authority, tmp_path)
        until(lambda: serial_number(site, trusting) != first, "the new certificate")
        assert len(list(events)) == 7
    assert site.ask("/").status == 308


def test_a_certificate_that_does_not_fit_its_key_does_not_replace_the_good_one(
    serve: Serve, authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    pair = write_pair(authority, tmp_path)
    site = serve("host", WORKERS=1, HTTPS_PORT=free_port(), **pair)
    first = serial_number(site, trusting)
    good_key = pair["TLS_KEY"].read_bytes()
    write_pair(authority, tmp_path)
    pair["TLS_KEY"].write_bytes(good_key)
    until(lambda: "key values mismatch" in site.logs(), "nginx's word on it")
    assert serial_number(site, trusting) == first


def test_a_certificate_that_does_not_fit_its_key_is_refused_at_the_start(
    authority: trustme.CA, pair: dict[str, Path], tmp_path: Path
) -> None:
    other = write_pair(authority, tmp_path)
    mixed = {"TLS_CERTIFICATE": pair["TLS_CERTIFICATE"], "TLS_KEY": other["TLS_KEY"]}
    site = HostSite(HTTPS_PORT=free_port(), **mixed)
    with pytest.raises(NotServedError, match=r"TLS_KEY is .*key values mismatch"):
        site.__enter__()


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"TLS_KEY": "/dev/null"}, "TLS_KEY is '/dev/null' and the other half"),
        ({"TLS_CERTIFICATE": "missing.pem"}, "missing.pem', which cannot be read"),
        ({"TLS_KEY": "a;b"}, "nginx does not support ';' in the name of a file"),
        ({"HTTPS_PORT": "0"}, "HTTPS_PORT is '0'; write a whole number from 1 to 65535"),
        ({"HSTS_SECONDS": "1y"}, "HSTS_SECONDS is '1y'; write a whole number"),
        ({"SECURITY_HEADERS": "X-Frame-Option"}, "SECURITY_HEADERS has 'X-Frame-Option'"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    pair: dict[str, Path], knobs: dict[str, str], sentence: str
) -> None:
    site = HostSite(**{"HTTPS_PORT": free_port(), **pair, **knobs})
    with pytest.raises(NotServedError, match=re.escape(sentence)):
        site.__enter__()


def test_production_wants_tls_or_a_proxy_that_does_it() -> None:
    knobs = {"ENVIRONMENT": "production", "SERVER_NAMES": "localhost"}
    site = HostSite(SECRET_KEY="a key that only the tests know", **knobs)
    with pytest.raises(NotServedError, match="there is no TLS; set TLS_CERTIFICATE and TLS_KEY"):
        site.__enter__()


def test_the_certificate_to_try_it_with_is_one_command(serve: Serve) -> None:
    maker = HostSite(SERVER_NAMES="localhost *.site.example")
    command = [sys.executable, "-m", "deploy", "certificate"]
    options = {"cwd": maker.folder, "env": maker.environment, "capture_output": True, "text": True}
    try:
        made = subprocess.run(command, **options, check=True)
        assert (maker.folder / "secrets").stat().st_mode & 0o777 == 0o700
        again = subprocess.run(command, **options, check=False)
        assert (again.returncode, "exists already" in again.stderr) == (2, True)
        knobs = dict(line.split("=", 1) for line in made.stdout.splitlines())
        site = serve("host", beside=maker, WORKERS=1, HTTPS_PORT=free_port(), **knobs)
        trusting = ssl.create_default_context(cafile=knobs["TLS_CERTIFICATE"])
        with httpx.Client(verify=trusting, trust_env=False, timeout=60) as client:
            assert client.get(f"{https(site)}/path/").status_code == 200
        with handshake(site, trusting, "any.site.example") as connection:
            assert connection.getpeercert()
    finally:
        maker.clean_up()


# --- ACME ---


@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "before there is TLS"])
def test_plain_http_shows_an_authority_the_challenge_that_an_acme_client_has_put_there(
    serve: Serve, pair: dict[str, Path], tls: bool
) -> None:
    knobs = {"HTTPS_PORT": free_port(), **pair} if tls else {}
    site = serve("host", MOUNTS="/=yourapplication:app", WORKERS=1, **knobs)
    token = "q-_A1"
    folder = site.folder / ".run" / "acme" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / token).write_text("q-_A1.thumbprint")
    (folder / "link").symlink_to("/etc/hostname")
    url = "/.well-known/acme-challenge/"
    response = site.ask(f"{url}{token}")
    assert (response.status, response.text) == (200, "q-_A1.thumbprint")
    for target in ("", "nothing", "link", "..%2f..%2f..%2flock"):
        response = site.ask(url + target)
        assert response.status in {400, 403, 404}, target
        assert not site.reached_the_app(response)


# --- The profile ---


@pytest.fixture(scope="module")
def scan(secure: Site) -> ServerScanResult:
    """What a scanner finds out about a site."""
    return scanner.scan(int(secure.environment["HTTPS_PORT"]))


@pytest.mark.slow
@scanner.odd_authority
def test_a_scanner_finds_mozillas_intermediate_profile(scan: ServerScanResult) -> None:
    assert scanner.differences(scan, scanner.intermediate()) == scanner.UNKNOWN


@pytest.mark.slow
@scanner.odd_authority
def test_the_scanner_does_tell_one_profile_from_another(scan: ServerScanResult) -> None:
    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_MODERN)
    assert scanner.differences(scan, profile) >= {"tls_versions", "ciphers"} | scanner.UNKNOWN
