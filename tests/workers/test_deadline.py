"""A request that takes longer than REQUEST_TIMEOUT: it is told of, and does no harm to others."""

import re
from collections import Counter

from tests.servers import until
from tests.workers.lab import results


def test_three_hung_requests_of_sixteen_do_no_harm_to_two_thousand_others(lab) -> None:
    site = lab(REQUEST_TIMEOUT=5)
    hung = site.at_once(3, "/count?seconds=600&secret=x", "POST")
    until(lambda: site.counted == 3, "the three")
    before = {worker.pid for worker in site.workers()}
    with site.load(clients=8) as others:
        until(lambda: site.site.logs().count("Respawned uWSGI worker") >= 1, "a new worker")
        until(lambda: sum(others.values()) >= 2000, "two thousand others", 60)
    assert set(others) == {200}
    assert results(hung) == Counter({504: 3})
    assert site.counted == 3  # none was run again
    assert {worker.pid for worker in site.workers()} != before

    told = site.site.logs().split("POST /path/count (id ")
    assert len(told) == 4
    for one in told[1:]:
        ran = re.match(r"[0-9a-f]{32}\) has run for ([\d.]+) s and is here:\n", one)
        assert float(ran[1]) >= 5
        assert 'lab.py", line' in one
        assert "time.sleep" in one
        assert "secret" not in re.split(r"Worker \d+ \(pid \d+\) takes no new requests", one)[0]


def test_a_healthy_request_beside_a_hung_one_is_finished(lab) -> None:
    site = lab(WORKERS=2, THREADS=2, REQUEST_TIMEOUT=6)
    hung = site.at_once(1, "/count?seconds=600", "POST")
    until(lambda: site.counted == 1, "the hung one")
    with site.load(clients=3, path="/wait?seconds=0.7") as siblings:
        until(lambda: "Respawned uWSGI worker" in site.site.logs(), "a new worker")
    assert set(siblings) == {200}
    assert results(hung) == Counter({504: 1})


def test_a_stream_that_has_begun_may_take_longer(lab) -> None:
    site = lab(WORKERS=1, REQUEST_TIMEOUT=4)
    response = site.site.ask("/path/stream?seconds=8")
    assert response.status == 200, site.site.logs()
    assert response.text.split() == [str(site.workers()[0].pid)] * 8
    assert "takes no new requests" not in site.site.logs()


def test_sys_exit_in_a_view_is_an_exception_like_any_other(lab) -> None:
    site = lab(WORKERS=2, REQUEST_TIMEOUT=60)
    workers = site.workers()
    with site.load(clients=4) as others:
        assert results(site.at_once(20, "/leave")) == Counter({500: 20})
        until(lambda: sum(others.values()) > 100, "others")
    assert set(others) == {200}
    assert site.workers() == workers
    assert "SystemExit: 1" in site.site.logs()
