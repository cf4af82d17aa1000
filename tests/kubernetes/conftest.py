"""A node with the shop: two pods, and images of several releases."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.kubelet import Node
from tests.kubernetes.rendering import Manifest, render
from tests.servers import ComposeSite, until

APPS = Path(__file__).parent / "apps"
# Requests that each change is made under. For the figures in docs/kubernetes.md: REQUESTS=20000.
REQUESTS = int(os.environ.get("REQUESTS", "3000"))
# Seconds until all nodes know that an endpoint has gone.
PROPAGATION = 5
FILE = "static/app.{}abcdef0.css"


@pytest.fixture(scope="session")
def images() -> Iterator[str]:
    """The name of the shop's images: `-app` with releases 1, 2 and broken, and `-nginx`."""
    version = ["docker", "version", "--format={{.Server.APIVersion}}"]
    said = subprocess.run(version, capture_output=True, text=True, check=True).stdout
    if tuple(map(int, said.split("."))) < (1, 45):
        pytest.skip("install Docker 26 or newer, whose volumes have subpaths")
    site = ComposeSite(files=list(APPS.iterdir()), MOUNTS="/path=shop:app")
    try:
        site.compose("build", "app", "nginx")
        for release in ("1", "2", "broken"):
            file = FILE.format(release[0])
            dockerfile = (
                f"FROM {site.name}-app\nENV VERSION={release}\nUSER 0:0\n"
                f"RUN mkdir -p static && echo 'b{{}}' >{file}\nUSER 10001:10001\n"
            )
            subprocess.run(
                ["docker", "build", "--quiet", "--tag", f"{site.name}-app:{release}", "-"],
                input=dockerfile.encode(),
                capture_output=True,
                check=True,
            )
        yield site.name
    finally:
        tags = [f"{site.name}-app:{release}" for release in ("1", "2", "broken")]
        subprocess.run(["docker", "rmi", "--force", *tags], capture_output=True, check=False)
        site.clean_up()


@pytest.fixture(scope="session")
def release(images: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Manifest]]:
    """The manifests of a release of the shop, perhaps with the files of a previous one."""

    def manifests(new: str, previous: str = "") -> list[Manifest]:
        tags = {"app": ("app", new), "nginx": ("nginx", "latest"), "previous": ("app", previous)}
        return render(
            tmp_path_factory.mktemp("site"),
            "production",
            [
                *("monitoring", "jobs/release", "jobs/worker"),
                *(["previous-release"] if previous else []),
            ],
            settings={"SERVER_NAMES": "localhost", "MOUNTS": "/path=shop:app"},
            images=[
                {"name": name, "newName": f"{images}-{image}", "newTag": tag}
                for name, (image, tag) in tags.items()
            ],
        )

    return manifests


@pytest.fixture(scope="session")
def shared_node(images: str, release: Callable[..., list[Manifest]]) -> Iterator[Node]:
    key = {"secret_key": "of which only the tests know, and no one else"}
    with Node(f"{images}-pod", f"{images}-nginx", key, PROPAGATION) as node:
        node.apply(release("1"))
        yield node


@pytest.fixture
def node(shared_node: Node) -> Node:
    """A node with a release of the shop, all of whose pods are ready."""
    until(lambda: shared_node.settled, "all pods to be ready", 600)
    return shared_node
