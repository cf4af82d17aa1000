"""Graceful shutdown: SIGTERM finishes in-flight requests and drains the listen backlog."""

import signal
import threading
from collections import Counter

import pytest

from tests.servers import HostSite, NotServedError, until
from tests.workers.lab import APPS, gone, results


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_a_stop_answers_all_that_wait_in_the_socket(lab, threads: int, load_apps: str) -> None:
    site = lab(WORKERS=2, THREADS=threads, LOAD_APPS=load_apps, REQUEST_TIMEOUT=60)
    waiting = site.at_once(60, "/count?gate=1", "POST")
    # All of them are here, none is over, and each thread has one. (A probe may wait, too.)
    until(lambda: site.connections() >= 60 and site.counted == 2 * threads, "a backlog")
    site.master.terminate()
    site.open_the_gate()
    assert results(waiting) == Counter({200: 60})
    assert site.counted == 60  # none of them twice


@pytest.mark.parametrize("path", ["/asyncio", "/ignore"])
@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_a_view_that_takes_sigint_for_itself_does_not_delay_a_stop(
    lab, load_apps: str, path: str
) -> None:
    # One thread: only in the main thread can a view do so.
    site = lab(WORKERS=2, THREADS=1, LOAD_APPS=load_apps, REQUEST_TIMEOUT=300)
    for _ in range(20):
        assert site.status(path) == 200
    waiting = site.at_once(2, "/count?seconds=1", "POST")
    until(lambda: site.counted == 2, "two requests")
    site.site.signal(signal.SIGTERM)
    assert results(waiting) == Counter({200: 2})
    assert site.site.wait(60) == 0


def test_while_it_stops_newcomers_get_503(lab) -> None:
    site = lab(WORKERS=1, THREADS=1, REQUEST_TIMEOUT=60)
    waiting = site.at_once(5, "/count?gate=1", "POST")
    until(lambda: site.connections() >= 5 and site.counted == 1, "a backlog")
    site.master.terminate()
    newcomers = []

    def unavailable() -> bool:
        newcomers.extend(site.at_once(1))
        return any(newcomer.done() and newcomer.result() == 503 for newcomer in newcomers)

    assert until(unavailable, "a 503")
    site.open_the_gate()
    assert results(waiting) == Counter({200: 5})
    assert set(results(newcomers)) <= {200, 503}


def test_a_stop_waits_for_a_hung_request_no_longer_than_any_may_take(lab) -> None:
    site = lab(REQUEST_TIMEOUT=2)
    hung = site.at_once(1, "/count?seconds=600", "POST")
    until(lambda: site.counted == 1, "a request")
    master = site.master
    master.terminate()
    assert gone(master)
    assert results(hung) <= Counter({502: 1, 504: 1})


def test_a_stop_does_not_wait_for_the_apps_to_be_loaded(tmp_path) -> None:
    site = HostSite(files=[APPS / "slow_to_load.py"], MOUNTS="/path=slow_to_load:app")
    said = []

    def start() -> None:
        with pytest.raises(NotServedError) as caught:
            site.start()
        said.append(str(caught.value))

    starting = threading.Thread(target=start)
    starting.start()
    try:
        until(lambda: site.process and "mounting" in site.logs(), "uWSGI loading the app")
        site.signal(signal.SIGTERM)
        starting.join()
        assert said[0].startswith("It ended with "), said
    finally:
        site.clean_up()


def test_workers_do_not_outlive_a_master_that_is_killed(lab) -> None:
    site = lab()
    workers = site.workers()
    site.master.kill()
    assert all(gone(worker) for worker in workers)


def test_a_worker_that_is_born_while_the_others_end_ends_with_them(lab) -> None:
    site = lab(WORKERS=2, LOAD_APPS="each", REQUEST_TIMEOUT=300)
    master, before = site.master, site.workers()
    before[0].kill()
    until(lambda: set(site.workers()) - set(before), "a new worker")
    master.terminate()  # while it loads the app
    assert gone(master)
