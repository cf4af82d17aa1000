"""Docker Swarm: three engines, each on a machine of its own, behind HAProxy."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.rollout.conftest import APP, remove
from tests.rollout.load import CONNECTIONS, Load
from tests.scaling.conftest import DRAIN_DELAY, HAPROXY, REQUESTS, SLOW
from tests.scaling.machines import GATEWAY, Machine, Network, haproxy
from tests.servers import ComposeSite, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "REQUESTS" not in os.environ,
        reason="takes minutes: REQUESTS=20000 .venv/bin/pytest tests/scaling/test_swarm.py",
    ),
]

# Releases, by what stands in place of `VERSION = "0"`.
RELEASES = {
    "1": 'VERSION = "1"',
    "2": 'VERSION = "2"',
    "broken": 'raise RuntimeError("broken")',
}
# Images are in memory, and gone with the machine.
ENGINE = """
mkdir -p "$0/data"
mount -t tmpfs tmpfs "$0/data"
exec dockerd --data-root "$0/data" --exec-root /run/docker --pidfile /run/docker.pid \
    --host "unix://$0/socket" >"$0/log" 2>&1
"""
CONVERGES = 300  # seconds


class Node:
    """A machine with an engine of its own."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.name, self.machine = machine.name, machine
        self._folder = folder / machine.name
        self._folder.mkdir()
        self._engine = subprocess.Popen(
            machine.entered(["sh", "-euc", ENGINE, str(self._folder)], folder),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.alive = True

    def wait(self) -> None:
        """Wait for the engine, whose machine has ended."""
        self._engine.wait()

    def docker(self, *words: str, check: bool = True, **options: str) -> str:
        done = subprocess.run(
            ["docker", "--host", f"unix://{self._folder}/socket", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=CONVERGES,
            **options,
        )
        assert not check or not done.returncode, f"{words}: {done.stderr}\n{self.log()}"
        return done.stdout.strip()

    def start_docker(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["docker", "--host", f"unix://{self._folder}/socket", *words])

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def is_up(self) -> bool:
        assert self._engine.poll() is None, self.log()
        return bool(self.docker("info", "--format", "{{.ServerVersion}}", check=False))


class Swarm:
    """A stack on three nodes, behind HAProxy.

    Args:
        nodes: the first one is the manager.
        site: the folder with the app, and its settings.
        port: of HAProxy.
    """

    def __init__(self, nodes: list[Node], site: ComposeSite, port: int) -> None:
        self.nodes, self.site, self.port = nodes, site, port

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if node.alive]

    def docker(self, *words: str, **options: str) -> str:
        """Type it at the manager."""
        return self.nodes[0].docker(*words, **options)

    def deploy(self, release: str, **settings: str) -> None:
        """Type what docs/scaling.md says, and return when Swarm has done it."""
        images = {"APP_IMAGE": f"{self.site.name}-app:{release}"}
        stack = subprocess.run(
            ["sh", "deploy/swarm/stack.sh", "shop"],
            cwd=self.site.folder,
            env=self.site.environment | images | settings,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # No registry has these images.
        command = "stack", "deploy", "--resolve-image", "never", "--detach=true", "-c", "-", "shop"
        self.docker(*command, input=stack)

    def until_app(self, state: str) -> None:
        """Wait for the end of an update of the app, and for all of its tasks."""
        inspect = "service", "inspect", "--format", "{{.UpdateStatus.State}}", "shop_app"
        until(lambda: self.docker(*inspect) == state, f"the update to be {state}", CONVERGES)
        self.until_running()

    def until_running(self) -> None:
        wanted = [f"{len(self.living)}/{len(self.living)}"] * 2
        listed = "service", "ls", "--format", "{{.Mode}} {{.Replicas}}"

        def running() -> bool:
            said = self.docker(*listed).splitlines()
            return [words.split()[1] for words in said if words.startswith("global")] == wanted

        until(running, f"{wanted[0]} tasks of each service", CONVERGES)

    def until_all_respond(self) -> None:
        """Wait until HAProxy has found all nodes."""
        for node in self.living:
            until(lambda node=node: self._is_used(node), f"HAProxy to use {node.name}", CONVERGES)

    def _is_used(self, node: Node) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            self.ask()
        tasks = node.docker("ps", "--quiet", "--filter=name=shop_nginx").split()
        return any('"uri":"/path/"' in node.docker("logs", "--tail=20", task) for task in tasks)

    def ask(self) -> str:
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.get(f"http://127.0.0.1:{self.port}/path/").text

    def counted(self) -> list[str]:
        """What the apps of all nodes have counted."""
        found: list[str] = []
        for node in self.living:
            task = node.docker("ps", "--quiet", "--filter=name=shop_app").split()[0]
            found += node.docker("exec", task, "cat", "/app/instance/counted").split()
        return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ComposeSite, Path]]:
    """The app's releases and nginx: the site with their names, and a file with all of them."""
    site = ComposeSite(
        files=[APP],
        env_file="COUNTED=/app/instance/counted\nMOUNTS=/path=shop:app\n",
        **{"SERVER_NAMES": "localhost 127.0.0.1", "TRUSTED_PROXIES": GATEWAY},
        **{"DRAIN_DELAY": DRAIN_DELAY, "WORKERS": 1, "THREADS": 8, "REQUEST_TIMEOUT": 20},
        **{"SECRET_KEY_FILE": "key", "APP_MEMORY": "400m", "HTTP_PORT": 8080},
    )
    try:
        (site.folder / "key").write_text(os.urandom(32).hex())
        site.environment["NGINX_IMAGE"] = f"{site.name}-nginx"
        site.compose("build", "app", "nginx")
        for release, text in RELEASES.items():
            app = (site.folder / "shop.py").read_text().replace('VERSION = "0"', text)
            folder = tmp_path_factory.mktemp("release")
            (folder / "shop.py").write_text(app)
            (folder / "Dockerfile").write_text(f"FROM {site.name}-app\nCOPY shop.py /app/shop.py\n")
            tag = f"--tag={site.name}-app:{release}"
            subprocess.run(["docker", "build", "--quiet", tag, folder], check=True)
        names = [f"{site.name}-app:{release}" for release in RELEASES]
        file = folder / "images.tar"
        save = ["docker", "save", "--output", file, f"{site.name}-nginx", *names]
        subprocess.run(save, check=True)
        yield site, file
    finally:
        remove(site)


@pytest.fixture(scope="module")
def swarm(images: tuple[ComposeSite, Path]) -> Iterator[Swarm]:
    site, file = images
    with contextlib.ExitStack() as stack:
        # A short name, for unix sockets.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swarm")))
        nodes: list[Node] = []
        stack.callback(lambda: [node.wait() for node in nodes])
        network = stack.enter_context(Network())
        for name in ("one", "two", "three"):
            nodes.append(Node(network.machine(name), folder))
        for node in nodes:
            until(node.is_up, f"the engine of {node.name}")
        loads = [node.start_docker("load", "--quiet", "--input", str(file)) for node in nodes]
        assert [load.wait() for load in loads] == [0, 0, 0]
        first = nodes[0]
        first.docker("swarm", "init", "--advertise-addr", first.machine.address)
        token = first.docker("swarm", "join-token", "--quiet", "worker")
        for node in nodes[1:]:
            node.docker("swarm", "join", "--token", token, f"{first.machine.address}:2377")
        configuration = re.sub(r"    server .*\n", "", HAPROXY) + "".join(
            f"    server {node.name} {node.machine.address}:8080 tcp-ut 5s\n" for node in nodes
        )
        port = stack.enter_context(haproxy(network, folder, configuration))
        swarm = Swarm(nodes, site, port)
        swarm.deploy("1")
        swarm.until_running()
        swarm.until_all_respond()
        yield swarm


def test_a_rollout_and_a_rollback_lose_no_request(swarm: Swarm) -> None:
    with Load(swarm.port).around(REQUESTS) as load:
        swarm.deploy("2")
        swarm.until_app("completed")
        swarm.docker("service", "rollback", "--detach", "shop_app")
        swarm.until_app("rollback_completed")
    assert not load.failed, load.summary()
    assert load.versions() == ["1", "2"]
    assert swarm.ask() == "1"
    assert not load.miscounted(swarm.counted())


def test_a_broken_release_is_rolled_back_and_loses_no_request(swarm: Swarm) -> None:
    with Load(swarm.port).around(REQUESTS) as load:
        swarm.deploy("broken")
        swarm.until_app("rollback_completed")
    assert not load.failed, load.summary()
    assert load.versions() == ["1"]


def test_a_node_that_is_drained_loses_no_request(swarm: Swarm) -> None:
    node = swarm.living[-1]
    with Load(swarm.port).around(REQUESTS) as load:
        swarm.docker("node", "update", "--availability", "drain", node.name)
        until(lambda: not node.docker("ps", "--quiet"), "the end of its containers", CONVERGES)
        swarm.docker("node", "update", "--availability", "active", node.name)
        swarm.until_running()
    assert not load.failed, load.summary()


def test_a_node_that_loses_power_loses_only_what_it_had_in_flight(swarm: Swarm) -> None:
    node = swarm.living[-1]
    with Load(swarm.port).around(REQUESTS) as load:
        node.alive = False
        node.machine.lose_power()
    assert len(load.failed) <= CONNECTIONS, load.summary()
    assert load.slowest < SLOW, load.summary()
