"""The clock is set, by an hour: workers end when they would have ended."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.resources.small import HERE, SCARCE, SECONDS
from tests.servers import HostSite, Serve, until

HOUR = 3600


@pytest.fixture
def site(serve: Serve, tmp_path: Path) -> HostSite:
    """A site whose time of day `set_clock` changes."""
    library = tmp_path / "shift.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, HERE / "shift.c"], check=True)
    return serve(
        "host",
        files=[SCARCE],
        MOUNTS="/x=scarce:app",
        WORKERS=2,
        THREADS=2,
        WORKER_LIFETIME=1,
        LD_PRELOAD=str(library),
        SHIFT=str(tmp_path / "shift"),
        GATE=str(tmp_path / "gate"),
    )


@pytest.fixture
def set_clock(tmp_path: Path) -> Callable[[int], None]:
    def shift(seconds: int) -> None:
        (tmp_path / "new").write_text(str(seconds))
        (tmp_path / "new").rename(tmp_path / "shift")

    return shift


def test_an_hour_forwards_ends_no_request_and_an_hour_backwards_keeps_no_worker(
    site: HostSite, set_clock: Callable[[int], None], tmp_path: Path
) -> None:
    (master,) = (p for p in psutil.Process(site.process.pid).children() if p.name() == "uwsgi")
    set_clock(-HOUR)
    before = site.workers()
    # A worker is replaced when the others are not new any more.
    until(lambda: "WORKER_LIFETIME: 1 s have passed" in site.logs(), "a replacement", SECONDS)
    until(lambda: site.workers() - before, "another worker", SECONDS)

    with ThreadPoolExecutor() as clients:
        request = clients.submit(site.ask, "/x/gate")
        until((tmp_path / "waiting").exists, "the request", SECONDS)
        master.terminate()
        until(lambda: "SIGTERM received" in site.logs(), "the drain", SECONDS)
        set_clock(HOUR)
        time.sleep(3)  # the master looks at its workers every second
        (tmp_path / "gate").touch()
        assert request.result(SECONDS).text == "open"
