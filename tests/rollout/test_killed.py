"""A rollout ends in time, and one that is killed leaves what `up` and `rollout` can go on from.

Only the commands that change something are killed at. EVERY_COMMAND=1 kills at each one in turn.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rollout.conftest import Shop
from tests.rollout.load import Load
from tests.servers import ComposeSite, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600 if "EVERY_COMMAND" not in os.environ else 0),
]
IN_CONTAINERS = pytest.mark.parametrize(
    "shop", [pytest.param("compose", marks=pytest.mark.docker)], indirect=True
)
# Stands in for `docker`: counts what a rollout calls (polls once), and kills the rollout at one of
# the calls, while what was called goes on.
DOCKER = """#!/bin/sh
if tr '\\0' ' ' <"/proc/$PPID/cmdline" | grep -q ' -m deploy rollout' &&
        ! grep -qxFe "$*" "$CALLS"; then
    echo "$*" >>"$CALLS"
    case "$(grep -c '' "$CALLS") $*" in $KILL_AT) kill -9 $PPID ;; esac
fi
exec $DOCKER "$@"
"""
# By whether the new release is broken, what to kill at: patterns of the shell's.
CHANGES = {True: ["* create *", "* start *"]}
if os.environ.get("EVERY_COMMAND"):
    CHANGES = {broken: [f"{number} *" for number in range(1, 60)] for broken in (False, True)}


def images(site: ComposeSite) -> dict[str, str]:
    """Each tag of the app's images with the image's id."""
    repository = f"{site.name}-app"
    command = ["docker", "image", "ls", "--no-trunc", "--format", "{{.Tag}} {{.ID}}", repository]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in listed.splitlines())


def kill_a_rollout(shop: Shop, tmp_path: Path, at: str, image: str) -> bool:
    """Roll an image out, and kill that at a command. Whether it came to that."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "calls").write_text("")
    before = shop.site.environment.copy()
    shop.site.environment |= {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DOCKER": shutil.which("docker"),
        "CALLS": str(tmp_path / "calls"),
        "KILL_AT": at,
    }
    try:
        status, said = shop.deploy("rollout", image)
    finally:
        shop.site.environment = before
    assert status in (-9, 0, 1), said
    return status == -9


@IN_CONTAINERS
@pytest.mark.parametrize("broken", CHANGES, ids=lambda broken: "broken" if broken else "good")
def test_a_rollout_that_is_killed_leaves_a_site_that_up_and_rollout_go_on_from(
    shop: Shop, tmp_path: Path, broken: bool
) -> None:
    site = shop.site
    assert isinstance(site, ComposeSite)
    live = images(site)["latest"]
    good = shop.serves()
    shop.write("\nraise RuntimeError('broken')\n" if broken else "")
    site.environment["APP_IMAGE"] = f"{site.name}-app:tried"
    site.compose("build", "app")
    del site.environment["APP_IMAGE"]
    tried = images(site)["tried"]

    for at in CHANGES[broken]:
        with Load(site.port) as load:
            load.until(100)
            if not kill_a_rollout(shop, tmp_path, at, tried):
                continue
            if not broken:
                shop.rollout(live)
            # What was called goes on for a moment, and so does what puts the tag back.
            until(lambda: images(site)["latest"] == live, at)
            load.until(len(load.requests) + 100)
        assert not load.failed, f"{at}: {load.summary()}"
        if broken:
            site.compose("up", "--detach", "--wait", check=False)
            until(lambda: site.ask("/path/").status == 200, f"{at}: a page")
            assert shop.serves() == good, at
            shop.rollout(live)
        assert shop.serves() == good, at
        assert images(site)["latest"] == live, at


def test_a_rollout_ends_in_time_whatever_hangs(shop: Shop) -> None:
    good, env_file = shop.serves(), shop.site.folder / ".env"
    before = env_file.read_text()
    env_file.write_text(f"{before}RELEASE_COMMAND='sleep 3600'\n")
    try:
        status, said = shop.deploy("rollout", "--timeout", "15")
        assert (status, "release step" in said) == (1, True), said
    finally:
        env_file.write_text(before)
    if isinstance(shop.site, ComposeSite):
        listed = ["docker", "ps", "--all", "--quiet", f"--filter=name={shop.site.name}-release"]
        assert not subprocess.run(listed, capture_output=True, text=True, check=True).stdout

    shop.write("\nimport time; time.sleep(3600)\n")
    status, said = shop.deploy("rollout", "--timeout", "4")
    assert status == 1, said
    assert shop.serves() == good

    shop.write()
    shop.rollout()  # and the next one is not told that another is under way
