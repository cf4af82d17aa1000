"""A certificate that gets and renews itself, from a real ACME server."""

import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography import x509
from python_on_whales import docker

from tests.servers import ComposeSite, free_port, until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

AUTHORITY = Path(__file__).with_name("authority")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeSite]:
    """The sample app in production, with a certificate from an authority beside it."""
    folder = tmp_path_factory.mktemp("acme") / "authority"
    shutil.copytree(AUTHORITY, folder)
    own = trustme.CA()
    pebble = own.issue_cert("pebble")
    own.cert_pem.write_to_path(folder / "root.pem")
    pebble.private_key_pem.write_to_path(folder / "key.pem")
    pebble.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    overlays = ["deploy/compose/production.yml", "deploy/compose/acme.yml", "authority/compose.yml"]
    with ComposeSite(
        files=[folder],
        COMPOSE_FILE=":".join(["docker-compose.yml", *overlays]),
        SERVER_NAMES="site.example www.site.example",
        SECRET_KEY="a key that only the tests know",
        WORKERS=1,
        HTTPS_PORT=free_port(),
        ACME_SERVER="https://pebble:14000/dir",
    ) as site:
        yield site


def certificate(site: ComposeSite) -> x509.Certificate:
    """The one that the site shows now."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", int(site.environment["HTTPS_PORT"]))
    with (
        socket.create_connection(address, timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="site.example") as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))


def test_a_site_gets_its_certificate_before_up_returns(site: ComposeSite) -> None:
    found = certificate(site)
    assert "Pebble" in found.issuer.rfc4514_string()
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"site.example", "www.site.example"}


def test_the_app_is_served_with_it(site: ComposeSite) -> None:
    url = f"https://127.0.0.1:{site.environment['HTTPS_PORT']}/path/inspect"
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        response = client.get(
            url, headers={"Host": "site.example"}, extensions={"sni_hostname": "site.example"}
        )
    assert response.json()["scheme"] == "https"


def test_nginx_follows_a_renewal(site: ComposeSite) -> None:
    first = certificate(site)
    command = [
        *("exec", "-T", "certbot", "certbot", "renew", "--force-renewal"),
        "--no-random-sleep-on-renew",
        *("--config-dir", "/run/web/certificates", "--work-dir", "/tmp/certbot"),
        *("--logs-dir", "/tmp/certbot"),
    ]

    def renewed() -> bool:
        done = site.compose(*command, check=False)
        # nginx has the first certificate while its own certbot is still tidying up.
        assert done.returncode == 0 or "Another instance" in done.stderr, done.stderr
        return done.returncode == 0

    until(renewed, "certbot to be free")
    until(lambda: certificate(site) != first, "the renewed certificate")
    assert site.ask("/path/", {"Host": "site.example"}).status == 308


def test_certbot_is_healthy_while_there_is_a_certificate(site: ComposeSite) -> None:
    (certbot,) = site.containers("certbot")

    def health() -> str:
        return docker.container.inspect(certbot).state.health.status

    until(lambda: health() == "healthy", "certbot to be healthy")
    check = docker.container.inspect(certbot).config.healthcheck.test[1:]
    missing = [*check[:-1], "/run/web/certificates/live/missing/fullchain.pem"]
    assert site.compose("exec", "-T", "certbot", *missing, check=False).returncode == 1


def test_nobody_but_nginx_and_certbot_can_read_the_key(site: ComposeSite) -> None:
    key = "/run/web/certificates/live/site/privkey.pem"
    mode = site.compose("exec", "-T", "nginx", "stat", "-Lc", "%a %u", key).stdout
    assert mode == "600 10002\n"
    seen = site.compose("exec", "-T", "app", "ls", "/run/web/certificates", check=False)
    assert seen.returncode != 0
