"""The sites that tests share, and how a test gets one of its own."""

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.servers import (
    FOREIGN_APPS,
    ComposeSite,
    HostSite,
    NotServedError,
    Serve,
    Site,
    engine_is_missing,
)

KINDS = {"host": HostSite, "compose": ComposeSite}
HOST_AND_COMPOSE = ["host", pytest.param("compose", marks=pytest.mark.docker)]


def pytest_configure() -> None:
    # A timeout of the whole run sends SIGTERM: leave no containers then either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell ignores SIGINT and SIGQUIT in the background, `nohup` SIGHUP, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    # psutil takes a process for a child only if that started later, by a boot time that the kernel
    # computes anew each time, and now and then a second off.
    boot_time = psutil.boot_time()
    psutil._pslinux.boot_time = lambda: boot_time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needy = [item for item in items if item.get_closest_marker("docker")]
    if needy and (reason := engine_is_missing()):
        for item in needy:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=HOST_AND_COMPOSE)
def kind(request: pytest.FixtureRequest) -> str:
    """By host and by container alike."""
    return request.param


@pytest.fixture
def site(kind: str, shared_site: Serve) -> Site:
    """The sample app at /path as it is delivered, with 4 workers of 4 threads. Do not break it."""
    return shared_site(kind, WORKERS=4, THREADS=4)


@pytest.fixture
def crowd(kind: str, shared_site: Serve, foreign_apps: list[Path]) -> Site:
    """Many apps side by side, with small limits, behind a proxy that is trusted: the tester.

    Its address is that of this machine, or the gateway of the containers' network.
    """
    mounts = {
        "/": "yourapplication:app",
        "/a/b": "yourapplication:create_app()",
        "/shop": "shop:create_app()",
        "/shop/second": "shop:create_app()",
        "/note": "note:app",
        "/plain": "plain:application",
        "/greeter": "greeter:app",
    }
    return shared_site(
        kind,
        files=tuple(foreign_apps),
        env_file="GREETING='Good morning'\n",
        MOUNTS=" ".join(f"{path}={target}" for path, target in mounts.items()),
        # One key for all: what keeps their sessions apart must be something else.
        SECRET_KEY="the key of the crowd",
        THREADS=4,
        SERVER_NAMES="*.example.org example.com 127.0.0.1",
        TRUSTED_PROXIES="127.0.0.1 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        REQUEST_TIMEOUT=5,
        MAX_BODY_SIZE="1m",
    )


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a site of the test's own, by kind, files and knobs. It is gone after the test."""
    with ExitStack() as stack:
        yield lambda kind, **options: stack.enter_context(KINDS[kind](**options))


@pytest.fixture(scope="session")
def shared_site() -> Iterator[Serve]:
    """Start a site, or give the one that was started with the same knobs before."""
    sites: dict[tuple[Any, ...], Site | NotServedError] = {}

    def started(kind: str, **options: Any) -> Site:
        key = (kind, *options.items())
        if key not in sites:
            site = KINDS[kind](**options)
            try:
                sites[key] = site.__enter__()
            except NotServedError as error:
                sites[key] = error  # it takes a while, and would not be otherwise next time
        if isinstance(sites[key], NotServedError):
            raise sites[key]
        return sites[key]

    yield started
    # At once, since each takes a second or more.
    with ThreadPoolExecutor() as pool:
        served = [site for site in sites.values() if isinstance(site, Site)]
        list(pool.map(lambda site: site.clean_up(), served))


@pytest.fixture(scope="session")
def foreign_apps(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The apps in `foreign_apps`, together with what a static folder may hold by mistake."""
    folder = tmp_path_factory.mktemp("foreign") / "apps"
    shutil.copytree(FOREIGN_APPS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    static = folder / "shop" / "static"
    (static / ".hidden").write_text("a secret")
    (static / ".git").mkdir()
    (static / ".git" / "config").write_text("a secret")
    (static / "link.txt").symlink_to("shop.css")
    return sorted(folder.iterdir())
