"""The stack that deploy/swarm/stack.sh renders."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.servers import ComposeSite

pytestmark = pytest.mark.docker
IMAGES = {"APP_IMAGE": "registry.example.com/app:1", "NGINX_IMAGE": "registry.example.com/nginx:1"}


@pytest.fixture(scope="module")
def site() -> Iterator[ComposeSite]:
    """A copy of the bundle, which is not started."""
    made = ComposeSite(DRAIN_DELAY=10, TRUSTED_PROXIES="10.0.0.254", SECRET_KEY_FILE="key")
    (made.folder / "key").write_text("a key that only the tests know")
    try:
        yield made
    finally:
        made.clean_up()


def run(site: ComposeSite, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=site.folder,
        env=site.environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_docker_takes_every_line_of_the_stack(site: ComposeSite) -> None:
    stack = run(site, "sh", "deploy/swarm/stack.sh", "shop", **IMAGES)
    (site.folder / "stack.yml").write_text(stack.stdout)
    taken = run(site, "docker", "stack", "config", "--compose-file", "stack.yml")
    assert (stack.returncode, taken.returncode) == (0, 0), stack.stderr + taken.stderr
    # What it ignores, it says when it deploys.
    rendered = json.loads(
        run(site, "docker", "compose", "-f", "stack.yml", "config", "--format", "json").stdout
    )
    app, nginx = rendered["services"]["app"], rendered["services"]["nginx"]
    for service in (app, nginx):
        assert not {"security_opt", "restart", "tmpfs", "build", "depends_on"} & service.keys()
        assert service["deploy"]["mode"] == "global"
    assert app["deploy"]["update_config"]["order"] == "start-first"
    assert app["deploy"]["update_config"]["failure_action"] == "rollback"
    assert app["stop_grace_period"] == nginx["stop_grace_period"] == "1m20s"
    assert [port["mode"] for port in nginx["ports"]] == ["host"]
    assert list(rendered["secrets"]) == ["secret_key"]


@pytest.mark.parametrize("missing", IMAGES)
def test_an_image_that_is_not_named_is_an_error(site: ComposeSite, missing: str) -> None:
    stack = run(site, "sh", "deploy/swarm/stack.sh", "shop", **IMAGES | {missing: ""})
    assert stack.returncode != 0
    assert missing in stack.stderr
    assert not stack.stdout
