"""An app that changes its process cannot switch off what watches over its workers."""

import re
import signal
from collections import Counter

import pytest

from tests.servers import until
from tests.workers.lab import results


@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_an_app_that_changes_its_environment_directory_signals_and_streams(
    lab, load_apps: str
) -> None:
    site = lab(app="rude", WORKERS=2, THREADS=2, LOAD_APPS=load_apps, REQUEST_TIMEOUT=4)

    # The deadline of a request.
    assert results(site.at_once(1, "/wait?seconds=600")) == Counter({504: 1})
    until(lambda: "Respawned uWSGI worker" in site.site.logs(), "a new worker")
    told = site.site.logs()
    assert re.search(r"GET /path/wait \(id \w+\) has run for \d+\.\d s and is here", told)

    # That of the interpreter, held in every worker at once.
    assert "in hold" not in told
    seen = set()

    def both_serve() -> bool:
        seen.add(site.site.ask("/path/wait?seconds=0.5").text)
        pids = {str(worker.pid) for worker in site.workers()}
        return len(pids) == 2 and pids <= seen

    until(both_serve, "both workers", 60)
    before = set(site.workers())
    assert set(results(site.at_once(4, "/hold"))) <= {502, 504}
    until(lambda: site.status() == 200 and not before & set(site.workers()), "new workers", 60)
    assert len(re.findall(r"lab.py., line \d+ in hold", site.site.logs())) >= 2

    # Its sockets, closed in a request.
    before = set(site.workers())
    site.status("/close")
    until(lambda: "closed uWSGI's listening sockets" in site.site.logs(), "a look")
    until(lambda: site.status() == 200 and before - set(site.workers()), "a new worker")

    # The graceful stop.
    waiting = site.at_once(2, "/count?seconds=1", "POST")
    until(lambda: site.counted == 2, "two requests")
    site.site.signal(signal.SIGTERM)
    assert results(waiting) == Counter({200: 2})
    assert site.site.wait() == 0


@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_an_app_that_takes_all_signals_stops_as_soon_as_it_can(lab, load_apps: str) -> None:
    site = lab(app="rude", WORKERS=1, THREADS=2, LOAD_APPS=load_apps, REQUEST_TIMEOUT=300)
    assert site.status() == 200
    site.site.signal(signal.SIGTERM)
    assert site.site.wait() == 0
