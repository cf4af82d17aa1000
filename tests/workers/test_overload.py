"""More requests than the workers can serve, for longer than a request may take."""

import threading
import time
from collections import Counter

import pytest

from deploy.server import health
from tests.servers import until
from tests.workers.lab import results

# Two workers of four threads, each request takes half a second.
CAPACITY = 16
CLIENTS = 160
SECONDS = 30


@pytest.mark.slow
def test_under_overload_workers_serve_clients_that_still_wait(lab) -> None:
    site = lab(WORKERS=2, THREADS=4, REQUEST_TIMEOUT=8)
    before = time.monotonic()
    seen: list[tuple[float, int | str]] = []  # when a request ended, and how

    def visit() -> None:
        while time.monotonic() - before < SECONDS:
            status = site.status("/wait?seconds=0.5")
            seen.append((time.monotonic() - before, status))
            if status != 200:
                time.sleep(1)  # a client is polite and comes again

    visitors = [threading.Thread(target=visit) for _ in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    until(lambda: time.monotonic() - before > SECONDS / 2, "half of the time", SECONDS)
    sockets = site.site.folder / ".run" / "sockets"
    assert health.ask(sockets / "app-1.health", "/path/") == 200
    for visitor in visitors:
        visitor.join()

    # What came in before the rate was known can be too much; the rest is served in time.
    late = Counter(status for when, status in seen if 12 < when < SECONDS)
    assert late[200] > 0.7 * CAPACITY * (SECONDS - 12), late
    assert set(late) == {200, 503}, late
    assert until(lambda: site.status() == 200, "the site as before")


@pytest.mark.slow
def test_long_requests_in_one_worker_leave_the_others_their_backlog(lab) -> None:
    site = lab(WORKERS=2, THREADS=1, REQUEST_TIMEOUT=40)
    long = site.at_once(1, "/wait?seconds=14")
    until(lambda: site.connections() == 1, "a long request", 30)
    # Longer than a worker looks before it sets a limit.
    assert [site.status("/wait?seconds=1") for _ in range(5)] == [200] * 5
    assert results(site.at_once(60, "/wait?seconds=0.05")) == Counter({200: 60})
    assert results(long) == Counter({200: 1})


@pytest.mark.slow
def test_1000_connections_at_once_are_all_served(lab) -> None:
    site = lab(WORKERS=2, THREADS=16, REQUEST_TIMEOUT=100)
    assert results(site.at_once(1000)) == Counter({200: 1000})
