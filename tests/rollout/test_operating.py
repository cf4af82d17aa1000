"""What people who operate a site see: status, refusals, and Compose's own view of it."""

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.rollout.conftest import APP, Shop
from tests.servers import ComposeSite, HostSite, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IN_CONTAINERS = pytest.mark.parametrize(
    "shop", [pytest.param("compose", marks=pytest.mark.docker)], indirect=True
)
ON_THIS_MACHINE = pytest.mark.parametrize("shop", ["host"], indirect=True)


def test_status_says_what_is_live_and_what_it_does(shop: Shop) -> None:
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"

    def idle() -> bool:  # a healthcheck may be what it does
        status, said = shop.deploy("status")
        assert status == 0, said
        line = said.splitlines()[1]
        assert re.search(rf"  {when}  4 +\d +\d+ +\d$", line), said
        return bool(re.search(r" 4 +0 +\d+ +0$", line))  # workers, busy, requests, queue

    until(idle, "a moment without a request", 60)


@IN_CONTAINERS
def test_compose_agrees_with_what_a_rollout_has_started(shop: Shop) -> None:
    site = shop.site
    assert isinstance(site, ComposeSite)
    before = site.containers()
    site.compose("up", "--detach", "--wait")
    assert site.containers() == before


@IN_CONTAINERS
def test_a_release_that_failed_leaves_compose_with_the_one_that_is_live(shop: Shop) -> None:
    site = shop.site
    assert isinstance(site, ComposeSite)
    before, version = site.containers(), shop.serves()
    shop.write("\nraise RuntimeError('broken')\n")
    assert shop.deploy("rollout")[0] == 1
    site.compose("up", "--detach", "--wait")
    assert site.containers() == before
    assert shop.serves() == version


def listed(shop: Shop) -> list[str]:
    """The releases that `status` lists, the latest first."""
    _, said = shop.deploy("status")
    (line,) = (line for line in said.splitlines() if line.startswith("Releases: "))
    return line.removeprefix("Releases: ").split()


@IN_CONTAINERS
def test_three_releases_are_kept_and_one_can_be_named(shop: Shop) -> None:
    for _ in range(3):
        shop.write()
        shop.rollout()
    releases = listed(shop)
    assert len(releases) == 3
    shop.rollout(releases[-1])
    assert shop.serves() == str(shop.version - 2)
    status, said = shop.deploy("rollback")
    assert status == 2
    assert "no release before" in said
    # The oldest one is still running when it becomes the fourth.
    shop.write()
    shop.rollout()
    assert listed(shop)[1:] == releases[:2]


@ON_THIS_MACHINE
def test_a_rollback_says_what_to_do_where_there_are_no_images(shop: Shop) -> None:
    status, said = shop.deploy("rollback")
    assert status == 2
    assert "python -m deploy rollout" in said


@ON_THIS_MACHINE
def test_a_rollout_brings_changed_knobs_live(shop: Shop) -> None:
    env_file = shop.site.folder / ".env"
    before = env_file.read_text()
    env_file.write_text(f"{before}MAX_BODY_SIZE=1k\n")
    try:
        shop.rollout()
        assert shop.site.ask("/path/", method="POST", body=b"x" * 2000).status == 413
    finally:
        env_file.write_text(before)
        shop.rollout()
    assert shop.site.ask("/path/", method="POST", body=b"x" * 2000).status == 405


def test_systemd_hears_when_it_serves_and_how_long_it_may_take_to_stop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        knobs = {"MOUNTS": "/path=shop:app", "REQUEST_TIMEOUT": 40}
        with HostSite(files=[APP], NOTIFY_SOCKET=str(tmp_path / "notify"), **knobs) as site:
            assert manager.recv(1000) == b"READY=1"
            site.signal(signal.SIGTERM)
            stopping, extended = manager.recv(1000).decode().splitlines()
            assert stopping == "STOPPING=1"
            # nginx may take as long as a request, and then so may uWSGI.
            assert int(extended.removeprefix("EXTEND_TIMEOUT_USEC=")) > 2 * 40 * 1_000_000
            assert site.wait() == 0
