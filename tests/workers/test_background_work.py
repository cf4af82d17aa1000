"""What a request goes on with in the background is finished before its worker ends."""

import re
import signal

import pytest

from tests.servers import until


def notes(site, text: str, pid: str) -> int:
    return len(re.findall(rf"^{text} {pid}$", site.site.logs(), re.MULTILINE))


def test_a_stop_waits_for_background_work(lab) -> None:
    site = lab(WORKERS=1, REQUEST_TIMEOUT=30)
    pid = site.site.ask("/path/mail").text
    site.site.signal(signal.SIGTERM)
    assert site.site.wait(60) == 0
    assert [notes(site, text, pid) for text in ("mail begins", "mail sent", "atexit")] == [3, 3, 1]


@pytest.mark.parametrize("knobs", [{"WORKER_LIFETIME": 1}, {}], ids=["too old", "stuck"])
def test_a_worker_that_is_replaced_finishes_its_background_work(lab, knobs: dict) -> None:
    site = lab(WORKERS=1, REQUEST_TIMEOUT=8, **knobs)
    if not knobs:
        site.at_once(1, "/wait?seconds=60")
    pid = site.site.ask("/path/").text

    def asked() -> bool:
        told = "takes no new requests" in site.site.logs()
        if not told and notes(site, "mail begins", pid) == notes(site, "mail sent", pid):
            site.status("/mail")
        return "Respawned uWSGI worker" in site.site.logs()

    until(asked, "a new worker", 60)
    assert notes(site, "mail begins", pid) == notes(site, "mail sent", pid) > 0
    assert notes(site, "atexit", pid) > 0
