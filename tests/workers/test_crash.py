"""A killed worker, and more requests than can wait."""

import signal
from collections import Counter

from tests.servers import until
from tests.workers.lab import results


def test_when_a_worker_is_killed_only_the_requests_inside_it_fail(lab) -> None:
    site = lab(WORKERS=4, THREADS=4, REQUEST_TIMEOUT=20)
    with site.load(clients=16, path="/count?seconds=0.05", method="POST") as counts:
        until(lambda: counts[200] > 200, "a load")
        site.workers()[0].kill()
        until(lambda: counts[200] > 1000, "a load")
    assert set(counts) <= {200, 502}
    assert counts[502] <= 4  # one for each thread
    # Each was run once; a worker may have been killed before it counted its own.
    assert counts[200] <= site.counted <= counts.total()


def test_a_full_queue_is_503_with_retry_after_and_recovers(lab) -> None:
    site = lab(WORKERS=1, THREADS=4, REQUEST_TIMEOUT=60)
    (worker,) = site.workers()
    worker.suspend()
    try:
        many = site.at_once(1300, "/count", "POST")
        until(lambda: site.status() == 503, "a full queue")
        full = site.site.ask("/path/")
    finally:
        worker.resume()
    counts = results(many)
    assert full.status == 503
    assert full.headers["Retry-After"]
    assert "Service unavailable" in full.text
    assert set(counts) == {200, 503}
    assert site.counted == counts[200] >= 900
    assert results(site.at_once(50)) == Counter({200: 50})


def test_a_request_that_its_worker_did_not_survive_is_502(lab) -> None:
    site = lab(WORKERS=1, REQUEST_TIMEOUT=20)
    inside = site.at_once(1, "/count?seconds=60", "POST")
    until(lambda: site.counted == 1, "a request")
    site.workers()[0].send_signal(signal.SIGKILL)
    assert results(inside) == Counter({502: 1})
