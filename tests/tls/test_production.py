"""The production overlay with a certificate of one's own."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from python_on_whales import docker

from tests.servers import ComposeSite, NotServedError, free_port
from tests.tls import scanner
from tests.tls.conftest import https

pytestmark = pytest.mark.docker

PRODUCTION = {
    "COMPOSE_FILE": "docker-compose.yml:deploy/compose/production.yml",
    "SERVER_NAMES": "localhost",
    "SECRET_KEY": "a key that only the tests know",
    "WORKERS": 1,
}


@pytest.fixture(scope="module")
def site(pair: dict[str, Path]) -> Iterator[ComposeSite]:
    """The sample app in production."""
    with ComposeSite(HTTPS_PORT=free_port(), **PRODUCTION, **pair) as site:
        yield site


def test_it_is_served_over_http2(site: ComposeSite, trusting: ssl.SSLContext) -> None:
    with httpx.Client(verify=trusting, http2=True, trust_env=False, timeout=60) as client:
        response = client.get(f"{https(site)}/path/inspect")
        moved = client.get(f"http://localhost:{site.port}/path/?x=1")
    assert (response.status_code, response.http_version) == (200, "HTTP/2")
    assert response.json()["url"] == f"{https(site)}/path/inspect"
    assert moved.status_code == 308
    assert moved.headers["Location"] == f"{https(site)}/path/?x=1"
    assert "warn" not in site.logs("nginx"), "this nginx wants it said in another way"


def test_another_name_gets_no_connection(site: ComposeSite, trusting: ssl.SSLContext) -> None:
    address = ("127.0.0.1", int(site.environment["HTTPS_PORT"]))
    with (
        socket.create_connection(address, timeout=60) as raw,
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
    ):
        trusting.wrap_socket(raw, server_hostname="spoofed.example")


def test_what_is_recorded_today_stays_secret_from_a_quantum_computer(site: ComposeSite) -> None:
    # The nginx of this image has an OpenSSL that can; that of an older Debian may not.
    ask = "openssl s_client -connect 127.0.0.1:8443 -servername localhost -groups X25519MLKEM768"
    done = site.compose("exec", "-T", "nginx", "sh", "-c", f"{ask} -brief </dev/null 2>&1")
    assert "Negotiated TLS1.3 group: X25519MLKEM768" in done.stdout


@pytest.mark.slow
@scanner.odd_authority
def test_a_scanner_finds_mozillas_intermediate_profile(site: ComposeSite) -> None:
    found = scanner.scan(int(site.environment["HTTPS_PORT"]))
    assert scanner.differences(found, scanner.intermediate()) == scanner.UNKNOWN


def test_only_nginx_sees_the_key(site: ComposeSite) -> None:
    for service, expected in (("nginx", True), ("app", False)):
        (container,) = site.containers(service)
        mounts = {str(mount.destination) for mount in docker.container.inspect(container).mounts}
        assert ("/run/secrets/tls_key" in mounts) is expected, service


def test_without_a_certificate_production_is_refused() -> None:
    site = ComposeSite(HTTPS_PORT=free_port(), **PRODUCTION)
    with pytest.raises(NotServedError, match="there is no TLS; set TLS_CERTIFICATE and TLS_KEY"):
        site.__enter__()


def test_health_is_that_of_the_app_behind_tls(site: ComposeSite) -> None:
    def health() -> tuple[int, str]:
        done = site.compose(
            "exec", "-T", "nginx", "/etc/nginx/bundle/health.sh", "/run/web", check=False
        )
        return done.returncode, done.stderr.strip()

    assert health() == (0, "")
    site.compose("stop", "app")
    try:
        assert health() == (1, "nginx responds with 503 to /path/")
    finally:
        site.compose("up", "--detach", "--wait", "app")
