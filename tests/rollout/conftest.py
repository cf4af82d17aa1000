"""A shop that is served, and changed while it is used."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.rollout.load import IDLE_CLOSED, Load
from tests.servers import ComposeSite, HostSite, until

APP = Path(__file__).parent / "apps" / "shop.py"
# Requests that each change is made under, and rollouts of SQLite's test. For the figures in
# docs/rollout.md and docs/data.md: REQUESTS=20000 ROLLOUTS=10.
REQUESTS = int(os.environ.get("REQUESTS", "3000"))
ROLLOUTS = int(os.environ.get("ROLLOUTS", "1"))
SLOW = 10  # seconds


class Shop:
    """A shop in containers or on this machine, with what people type to operate it."""

    def __init__(self, site: ComposeSite | HostSite, counted: Callable[[], str]) -> None:
        self.site = site
        self.counted = counted
        self.version = 0

    def write(self, addition: str = "", first_page: str = "return VERSION") -> str:
        """Write another version of the app into the folder, and return which."""
        self.version += 1
        text = APP.read_text().replace('VERSION = "0"', f'VERSION = "{self.version}"')
        text = text.replace("return VERSION", first_page, 1)
        (self.site.folder / "shop.py").write_text(text + addition)
        return str(self.version)

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Type `python -m deploy ...`."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy", *words],
            cwd=self.site.folder,
            env=self.site.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def deploy(self, *words: str) -> tuple[int, str]:
        """Type it, and return the exit status and all that was said."""
        command = self.command(*words)
        said, _ = command.communicate(timeout=300)
        return command.returncode, said

    def rollout(self, *words: str) -> None:
        status, said = self.deploy("rollout", *words)
        assert status == 0, said

    def serves(self) -> str:
        """The version that responds."""
        return self.site.ask("/path/").text


@contextmanager
def compose_site() -> Iterator[ComposeSite]:
    """A site for the shop in containers, not yet started."""
    site = ComposeSite(
        files=[APP],
        env_file="COUNTED=/app/instance/counted\nMOUNTS=/path=shop:app\nWORKERS=4\nTHREADS=4\n",
        REQUEST_TIMEOUT=20,
    )
    try:
        yield site
    finally:
        remove(site)


def remove(site: ComposeSite) -> None:
    """Leave nothing of it, the tags of its releases included."""
    listed = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{site.name}-app"],
        capture_output=True,
        text=True,
        check=True,
    )
    site.clean_up()
    subprocess.run(["docker", "rmi", "--force", *listed.stdout.split()], capture_output=True)


@pytest.fixture(scope="session")
def compose_shop() -> Iterator[Shop]:
    with compose_site() as site:
        site.start()
        # In a volume that all containers of the app share.
        yield Shop(site, lambda: site.compose("exec", "app", "cat", "/app/instance/counted").stdout)


@pytest.fixture(scope="session")
def host_shop() -> Iterator[Shop]:
    site = HostSite(
        files=[APP],
        env_file="MOUNTS=/path=shop:app\nWORKERS=4\nTHREADS=4\n",
        REQUEST_TIMEOUT=20,
    )
    site.environment["COUNTED"] = str(site.folder / "counted")
    with site:
        until(lambda: (site.folder / ".run" / "control").exists(), "serve to take commands")
        yield Shop(site, (site.folder / "counted").read_text)


@pytest.fixture(params=["host", pytest.param("compose", marks=pytest.mark.docker)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """By host and by container alike, with one good release live."""
    shop = request.getfixturevalue(f"{request.param}_shop")
    shop.write()
    shop.rollout()
    return shop


class Unharmed:
    """The load that a change is made under, and the judgement when it is over.

    Args:
        shop: what is used.
    """

    # Whether POSTs may have met a connection that nginx was just closing, and were not run.
    closes_idle_connections = False
    # Seconds that a request may take.
    slow = SLOW

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.counted = shop.counted
        self.load = Load(shop.site.port)

    def __enter__(self) -> Load:
        self._around = self.load.around(REQUESTS)
        return self._around.__enter__()

    def __exit__(self, kind: type | None, *error: Any) -> None:
        self._around.__exit__(kind, *error)
        if not kind:
            self.judge()

    def judge(self) -> None:
        load = self.load
        failed = load.failed
        if self.closes_idle_connections:
            failed = [request for request in failed if request.problem != IDLE_CLOSED]
        assert not failed, load.summary()
        assert load.slowest < self.slow, load.summary()
        assert not load.miscounted(self.counted().split())

    def in_sqlite(self) -> Self:
        """The same load, of requests that read and write SQLite, on whatever disk there is."""
        self.slow = math.inf
        self.counted = lambda: self.shop.site.ask("/path/ledger/lines").text
        self.load = Load(self.shop.site.port, mount="/path/ledger")
        return self


@pytest.fixture
def unharmed(shop: Shop) -> Unharmed:
    return Unharmed(shop)
