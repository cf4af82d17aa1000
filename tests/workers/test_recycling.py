"""Worker recycling by memory and age, without dropped requests."""

import re

import pytest

from tests.servers import until


@pytest.mark.slow
@pytest.mark.parametrize("load_apps", ["once", "each"])
@pytest.mark.parametrize(
    ("knob", "value", "path"), [("WORKER_LIFETIME", "1", "/"), ("WORKER_MEMORY", "200m", "/leak")]
)
def test_workers_are_replaced_one_at_a_time_and_nothing_is_lost(
    lab, knob: str, value: str, path: str, load_apps: str
) -> None:
    site = lab(WORKERS=2, REQUEST_TIMEOUT=10, LOAD_APPS=load_apps, **{knob: value})
    first = {worker.pid for worker in site.workers()}
    with site.load(clients=8, path="/wait?seconds=0.02") as counts:
        while path == "/leak" and not re.search(rf"{knob}:", site.site.logs()):
            assert site.status("/leak") == 200
        pattern = rf"{knob}: .*\nWorker \d+ \(pid (\d+)\)"
        told = until(lambda: re.search(pattern, site.site.logs()), "a replacement")
        until(lambda: int(told[1]) not in {w.pid for w in site.workers()}, "its end")
        assert len(first & {worker.pid for worker in site.workers()}) == 1
        seen = counts.total()
        until(lambda: counts.total() > seen + 200, "more requests")
    assert set(counts) == {200}
