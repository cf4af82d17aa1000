"""Changes under load: no request is lost, slow or run twice."""

import signal
import subprocess

import pytest

from tests.rollout.conftest import ROLLOUTS, Shop, Unharmed
from tests.servers import ComposeSite, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Seconds with responses of two versions: requests that were in flight.
DRAIN = 5

BROKEN = {
    "cannot be imported": {"addition": "\nraise RuntimeError('broken')\n"},
    # Only under uWSGI, so that nothing which looks at the app before finds it.
    "exits at start": {
        "addition": "\nimport sys\nif 'uwsgi' in sys.modules:\n    os._exit(3)\n",
    },
    "responds with an error": {"first_page": "raise RuntimeError('broken')"},
    "never responds": {"first_page": "import time; time.sleep(1000)"},
}


def test_a_rollout_to_a_new_version(shop: Shop, unharmed: Unharmed) -> None:
    old = shop.serves()
    new = shop.write()
    with unharmed as load:
        shop.rollout()
    assert load.versions() == [old, new]
    assert load.overlap(old, new) < DRAIN


def test_a_rollout_of_an_app_that_reads_and_writes_sqlite(shop: Shop, unharmed: Unharmed) -> None:
    versions = [shop.serves()]
    with unharmed.in_sqlite() as load:
        for _ in range(ROLLOUTS):
            versions.append(shop.write())
            shop.rollout()
    assert load.versions() == versions


@pytest.mark.docker
@pytest.mark.parametrize("shop", ["compose"], indirect=True)
def test_a_rollback(shop: Shop, unharmed: Unharmed) -> None:
    old = shop.serves()
    new = shop.write()
    shop.rollout()
    with unharmed as load:
        status, said = shop.deploy("rollback")
    assert status == 0, said
    assert "Building" not in said
    assert load.versions() == [new, old]
    assert load.overlap(new, old) < DRAIN


@pytest.mark.parametrize("flaw", BROKEN)
def test_a_release_that_is_broken(shop: Shop, unharmed: Unharmed, flaw: str) -> None:
    old = shop.serves()
    shop.write(**BROKEN[flaw])
    with unharmed as load:
        status, said = shop.deploy("rollout", "--timeout", "15")
    assert status == 1
    assert "old" in said.splitlines()[-1], said
    assert "broken" in said or "not" in said
    assert load.versions() == [old]
    # And the next good one goes live.
    new = shop.write()
    shop.rollout()
    assert shop.serves() == new


def test_a_release_step_that_fails(shop: Shop, unharmed: Unharmed) -> None:
    old = shop.serves()
    env_file = shop.site.folder / ".env"
    before = env_file.read_text()
    env_file.write_text(f"{before}RELEASE_COMMAND='python -c \"raise SystemExit(7)\"'\n")
    shop.write()
    try:
        with unharmed as load:
            status, said = shop.deploy("rollout")
    finally:
        env_file.write_text(before)
    assert status == 1, said
    assert "RELEASE_COMMAND" in said
    assert load.versions() == [old]


@pytest.mark.docker
@pytest.mark.parametrize("shop", ["compose"], indirect=True)
def test_a_second_instance_that_comes_and_the_first_that_goes(
    shop: Shop, unharmed: Unharmed
) -> None:
    site = shop.site
    assert isinstance(site, ComposeSite)
    (first,) = site.containers("app")
    with unharmed:
        up = "up", "--detach", "--no-deps", "--no-recreate", "--wait"
        site.compose(*up, "--scale", "app=2", "app")
        (second,) = set(site.containers("app")) - {first}
        until(lambda: second[:12] in live_socket(second), "the second to be live")
        docker("stop", first)
        docker("rm", first)


def test_nginx_reads_its_configuration_anew(shop: Shop, unharmed: Unharmed) -> None:
    site = shop.site
    # nginx before 1.27.4 has no keepalive_min_timeout: what is idle is closed at once.
    unharmed.closes_idle_connections = True
    with unharmed:
        if isinstance(site, ComposeSite):
            site.compose("kill", "--signal", "HUP", "nginx")
        else:
            nginx = next(p for p in site.processes() if p.name() == "nginx")
            nginx.send_signal(signal.SIGHUP)


def test_a_rollout_that_is_killed_half_way(shop: Shop, unharmed: Unharmed) -> None:
    old = shop.serves()
    shop.write(**BROKEN["responds with an error"])
    with unharmed as load:
        command = shop.command("rollout", "--timeout", "20")
        until(lambda: instances(shop) == 2, "the second instance", 60)
        command.kill()
        command.communicate()
        load.until(len(load.requests) + 600)
        assert load.versions() == [old]
        new = shop.write()
        # On this machine `serve` goes on with the first one until its time is over.
        until(lambda: shop.deploy("rollout")[0] == 0, "a rollout that is not rejected")
    assert load.versions() == [old, new]
    assert instances(shop) == 1


def test_a_second_rollout_at_the_same_time_is_refused(shop: Shop) -> None:
    shop.write("\nimport time\ntime.sleep(5)\n")
    with shop.command("rollout") as first:
        first.stdout.readline()  # it has begun
        status, said = shop.deploy("rollout")
        assert status != 0
        assert "under way" in said
        said, _ = first.communicate()
    assert first.returncode == 0, said
    assert shop.serves() == str(shop.version)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def live_socket(container: str) -> str:
    return docker("exec", container, "readlink", "/run/web/sockets/live.sock")


def instances(shop: Shop) -> int:
    """How many instances of uWSGI run."""
    if isinstance(shop.site, ComposeSite):
        return len(shop.site.compose("ps", "--quiet", "app").stdout.split())
    return len(list((shop.site.folder / ".run" / "sockets").glob("app-*.sock")))
