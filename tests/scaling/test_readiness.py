"""Readiness: a load balancer's healthcheck fails before requests do."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.server import promotion
from tests.servers import ComposeSite, HostSite, Serve, access_log, until

READY = "/.well-known/ready"


@pytest.fixture
def site() -> Iterator[HostSite]:
    names = "example.com 127.0.0.1"
    with HostSite(
        DRAIN_DELAY=3, TRUSTED_PROXIES="127.0.0.1", WORKERS=1, SERVER_NAMES=names
    ) as made:
        yield made


def test_a_machine_is_ready_under_any_name_and_no_line_is_logged(site: HostSite) -> None:
    assert site.ask(READY).status == 200
    assert site.ask(READY, {"Host": "10.0.0.1"}).status == 200
    assert site.ask("/path/", {"Host": "10.0.0.1"}).status == 421
    passed_on = {"X-Forwarded-For": "192.0.2.1"}
    assert site.ask(READY, passed_on).status == 404
    assert site.ask(READY, passed_on | {"Host": "10.0.0.1"}).status == 404
    assert site.access(site.ask("/path/").headers["X-Request-ID"])
    assert READY not in [line["uri"] for line in access_log(site.logs())]


def test_requests_are_served_while_the_readiness_fails(site: HostSite) -> None:
    site.signal(signal.SIGTERM)
    until(lambda: site.ask(READY).status == 503, "the readiness to fail")
    assert site.ask("/path/").status == 200
    assert site.wait() == 0, site.logs()


def test_without_a_delay_there_is_no_such_path(shared_site: Serve) -> None:
    site = shared_site("host", WORKERS=4, THREADS=4)
    assert site.ask(READY).status == 404


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_app_that_is_stopped_serves_while_the_readiness_fails() -> None:
    with ComposeSite(
        DRAIN_DELAY=5, TRUSTED_PROXIES="172.16.0.0/12 192.168.0.0/16", WORKERS=2
    ) as site:
        assert site.ask(READY).status == 200
        (app,) = site.containers("app")
        with subprocess.Popen(["docker", "stop", app], stdout=subprocess.DEVNULL) as stop:
            until(lambda: site.ask(READY).status == 503, "the readiness to fail")
            assert site.ask("/path/").status == 200
        assert stop.returncode == 0
        assert site.ask("/path/").status == 503
        said = ["docker", "inspect", "--format", "{{.State.ExitCode}}", app]
        assert subprocess.run(said, capture_output=True, text=True, check=True).stdout == "0\n"


def test_an_instance_is_next_until_it_is_live(tmp_path: Path) -> None:
    old, new = (socket.socket(socket.AF_UNIX) for _ in range(2))
    with old, new:
        for name, instance in (("old", old), ("new", new)):
            instance.bind(str(tmp_path / f"{name}.sock"))
            instance.listen()
            if name == "old":
                (tmp_path / "live.sock").symlink_to("old.sock")
                assert not promotion.is_next(tmp_path, "old")
                until(lambda: later(tmp_path / "old.sock", tmp_path), "the next tick")
        assert promotion.is_next(tmp_path, "new")
        (tmp_path / "live.sock").unlink()
        (tmp_path / "live.sock").symlink_to("new.sock")
        assert not promotion.is_next(tmp_path, "new")
        assert not promotion.is_next(tmp_path, "old")


def later(path: Path, folder: Path) -> bool:
    """Whether a file that is made now is newer than another one."""
    (folder / "now").write_text("")
    return (folder / "now").stat().st_mtime_ns > path.stat().st_mtime_ns
