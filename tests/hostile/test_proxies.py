"""A proxy in front: its forwarded headers, and the log line about an undeclared one."""

import pytest

from tests.conftest import Serve
from tests.hostile.sizes import PROBE
from tests.hostile.wire import ClosedError, Wire, request
from tests.servers import HostSite, NotServedError, Site, until

HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n"
WARNING = "TRUSTED_PROXIES does not have 127.0.0.1"


class BehindProxy(HostSite):
    """A site that understands only who speaks the PROXY protocol."""

    def _is_up(self) -> bool:
        try:
            with Wire(self.port) as wire:
                return bool(wire.send(HEADER, request("/")).reply().status)
        except (OSError, ClosedError):
            return False


@pytest.fixture(scope="module")
def behind_proxy():
    knobs = {"PROXY_PROTOCOL": 1, "TRUSTED_PROXIES": "127.0.0.1"}
    with BehindProxy(files=(PROBE,), MOUNTS="/path=probe:app", **knobs) as site:
        yield site


def test_the_proxy_protocol_says_who_the_client_is(behind_proxy: Site) -> None:
    with Wire(behind_proxy.port) as wire:
        reply = wire.send(HEADER, request("/path/seen")).reply()
    assert b'"HTTP_X_REAL_IP":"192.0.2.7"' in reply.body.replace(b" ", b"")


def test_behind_the_proxy_protocol_a_clients_own_headers_are_still_its_own(
    behind_proxy: Site,
) -> None:
    spoofed = [
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil.example",
        b"X-Real-IP: 203.0.113.9",
    ]
    with Wire(behind_proxy.port) as wire:
        text = wire.send(HEADER, request("/path/seen", *spoofed)).reply().body.decode()
    assert "203.0.113.9" not in text
    assert "evil.example" not in text
    assert '"https"' not in text
    assert WARNING not in behind_proxy.logs()


def test_a_stranger_to_the_proxy_protocol_cannot_name_another_client(behind_proxy: Site) -> None:
    with Wire(behind_proxy.port, source="127.0.0.9") as wire:
        reply = wire.send(HEADER, request("/path/seen")).reply()
    assert b'"HTTP_X_REAL_IP":"127.0.0.9"' in reply.body.replace(b" ", b"")


def test_who_does_not_speak_the_proxy_protocol_is_not_understood(behind_proxy: Site) -> None:
    with Wire(behind_proxy.port) as wire, pytest.raises(ClosedError):
        wire.send(request("/path/seen")).reply()


def test_the_proxy_protocol_without_a_trusted_proxy_is_refused(serve: Serve) -> None:
    with pytest.raises(NotServedError, match="PROXY_PROTOCOL is on and TRUSTED_PROXIES is empty"):
        serve("host", PROXY_PROTOCOL=1)


def test_a_request_without_the_proxy_protocol_is_in_no_log(behind_proxy: Site) -> None:
    with Wire(behind_proxy.port) as wire, pytest.raises(ClosedError):
        wire.send(request("/path/seen?t0ken", b"Cookie: t0ken", b"Authorization: t0ken")).reply()
    until(lambda: 'broken header: "..."' in behind_proxy.logs(), "the error in the log", 60)
    assert "t0ken" not in behind_proxy.logs()


@pytest.mark.docker
def test_the_container_is_healthy_behind_the_proxy_protocol(serve: Serve) -> None:
    serve("compose", PROXY_PROTOCOL="on", TRUSTED_PROXIES="172.16.0.0/12")  # --wait says so


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "Forwarded: for=192.0.2.7"]
)
def test_an_undeclared_proxy_is_told_to_the_operator_in_words(serve: Serve, header: str) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app")
    site.ask("/path/seen")
    assert "TRUSTED_PROXIES" not in site.logs()
    site.ask("/path/seen", [header.split(": ")])
    said = until(lambda: [s for s in site.logs().splitlines() if WARNING in s], "the warning")
    assert said[0].endswith("set TRUSTED_PROXIES=127.0.0.1.")


def test_a_declared_proxy_is_not_complained_about(serve: Serve) -> None:
    knobs = {"TRUSTED_PROXIES": "127.0.0.1"}
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", **knobs)
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    response = site.ask("/path/seen", headers)
    assert response.json()["HTTP_X_REAL_IP"] == "192.0.2.7"
    site.access(response.headers["X-Request-ID"])  # the log has got as far
    assert "TRUSTED_PROXIES" not in site.logs()
