"""A request wakes one worker, however many there are; workers take turns; no request is left."""

import contextlib
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.servers import HostSite, Serve, until
from tests.workers.lab import APPS, suspend

WORKERS = 8
REQUESTS = 400


@pytest.fixture
def many(shared_site: Serve) -> HostSite:
    files = (APPS / "children.py",)
    return shared_site("host", files=files, MOUNTS="/path=children:app", WORKERS=8, THREADS=2)


def waits(site: HostSite) -> int:
    """How often the threads of uWSGI have waited for something so far."""
    count = 0
    for process in site.processes():
        # What a hook of uWSGI has started ends in the meantime.
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if process.name() == "uwsgi":
                for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
                    _, _, after = status.read_text().partition("\nvoluntary_ctxt_switches:")
                    count += int(after.split()[0])
    return count


def test_a_request_wakes_one_worker_and_all_take_turns(many: HostSite) -> None:
    workers: Counter[str] = Counter()
    until(
        lambda: not workers.update([many.ask("/path/").text]) and len(workers) == WORKERS, "all", 60
    )
    workers.clear()
    before, begun = waits(many), time.monotonic()
    workers.update(many.ask("/path/").text for _ in range(REQUESTS))
    # The one that takes it, and the next thread of its worker. When each request woke all, this was
    # 9 and more. Without requests, threads look for work about 60 times a second, all together.
    idle = 100 * (time.monotonic() - begun)
    assert (waits(many) - before - idle) / REQUESTS < 6
    assert len(workers) == WORKERS
    assert min(workers.values()) > REQUESTS / WORKERS / 4


def test_a_request_that_wakes_a_worker_which_does_not_run_is_served_by_another(
    many: HostSite,
) -> None:
    stopped = psutil.Process(int(many.ask("/path/").text))
    suspend(stopped)
    try:
        for _ in range(3 * WORKERS):
            assert many.ask("/path/").status == 200
    finally:
        stopped.resume()


def test_a_request_that_wakes_a_worker_which_dies_is_served_by_another(serve: Serve) -> None:
    site = serve(
        "host",
        files=[APPS / "children.py"],
        MOUNTS="/path=children:app",
        WORKERS=3,
        THREADS=2,
    )
    for _ in range(3):
        stopped = psutil.Process(int(site.ask("/path/").text))
        suspend(stopped)  # and so it is woken, and takes nothing
        assert {site.ask("/path/").status for _ in range(6)} == {200}
        stopped.kill()
        assert {site.ask("/path/").status for _ in range(6)} == {200}
