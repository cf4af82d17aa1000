"""WARM_UP_PATH: no visitor meets a cold worker, whatever the app responds with."""

import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import knobs
from tests.servers import HostSite, NotServedError, Serve, Site, until
from tests.workers.lab import APPS

Start = Callable[..., Site]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Where the app records its calls."""
    path = tmp_path / "calls"
    path.touch()
    return path


@pytest.fixture
def start(serve: Serve, calls: Path) -> Start:
    """Start a site with the app in `apps/warmed.py`."""

    def started(**given: str | int) -> Site:
        settings = {"MOUNTS": "/path=warmed:app", "WORKERS": 2, "THREADS": 2} | given
        return serve("host", files=[APPS / "warmed.py"], CALLS=str(calls), **settings)

    return started


def warmed(calls: Path) -> list[list[str]]:
    """The recorded calls of the warm-up: worker, agent, method and URL of each."""
    recorded = [line.split() for line in calls.read_text().splitlines()]
    return [call for call in recorded if call[1] == "warm-up"]


def workers_of(site: Site) -> set[int]:
    """uWSGI's workers, without its master."""
    uwsgi = [p for p in site.processes() if p.name() == "uwsgi"]
    masters = {p.pid for p in uwsgi} & {p.ppid() for p in uwsgi}
    return {p.pid for p in uwsgi} - masters


@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_each_worker_calls_each_app_once_before_all_other_requests(
    start: Start, calls: Path, load_apps: str
) -> None:
    mounts = "/path=warmed:create_app() /path/b=warmed:app"
    site = start(MOUNTS=mounts, LOAD_APPS=load_apps, WORKERS=4)
    found = Counter((int(pid), method, url) for pid, _, method, url in warmed(calls))
    urls = ["http://localhost/path/", "http://localhost/path/b/"]
    assert found == Counter((pid, "GET", url) for pid in workers_of(site) for url in urls)
    assert site.ask("/path/").text == "warm"
    agents = [line.split(" ")[1] for line in calls.read_text().splitlines()]
    assert agents[:8] == ["warm-up"] * 8
    assert "warm-up" not in agents[8:]


def test_any_response_will_do_and_a_stream_may_have_no_end(start: Start, calls: Path) -> None:
    kinds = ["redirect", "error", "exit", "stream"]
    site = start(MOUNTS=" ".join(f"/{kind}=warmed:app" for kind in kinds))
    assert len(warmed(calls)) == 2 * len(kinds)
    assert {site.ask(f"/{kind}/other").text for kind in kinds} == {"other"}
    assert "LookupError: no such page" in site.logs()


def test_a_warm_up_that_hangs_ends_with_the_request_timeout(start: Start) -> None:
    site = start(MOUNTS="/hang=warmed:app", REQUEST_TIMEOUT=2)
    assert site.logs().count("WARM_UP_PATH: /hang/ has not responded to worker ") == 2
    assert site.ask("/hang/").text == "warm"


def test_another_path_is_called_with_the_name_and_scheme_of_the_site(
    start: Start, calls: Path
) -> None:
    names = {"SERVER_NAMES": "*.example.org 127.0.0.1", "ENVIRONMENT": "production"}
    secure = {"TRUSTED_PROXIES": "10.0.0.1", "SECRET_KEY": "a key that only tests know"}
    start(WARM_UP_PATH="/other", WORKERS=1, **names, **secure)
    assert [call[2:] for call in warmed(calls)] == [["GET", "https://example.org/path/other"]]


def test_without_a_path_nothing_is_called_and_nothing_is_loaded(start: Start, calls: Path) -> None:
    site = start(WARM_UP_PATH="", WORKERS=1)
    assert warmed(calls) == []
    assert "mounting warmed:app on /path" in site.logs()


def test_a_debugged_app_is_not_called(start: Start, calls: Path) -> None:
    start(UWSGI_DEBUG=1)
    assert warmed(calls) == []


def test_a_worker_that_replaces_another_one_serves_at_once(start: Start, calls: Path) -> None:
    site = start(WORKERS=1)
    before = site.ask("/path/pid").text
    assert site.ask("/path/exit", method="POST").status == 502
    until(lambda: site.ask("/path/pid").text not in {before, ""}, "the next worker")
    assert len(warmed(calls)) == 1


def test_a_stop_does_not_wait_for_the_warm_up(calls: Path) -> None:
    settings = {"REQUEST_TIMEOUT": 3600, "WORKERS": 2}
    files, mounts = [APPS / "warmed.py"], "/hang=warmed:app"
    site = HostSite(files=files, MOUNTS=mounts, CALLS=str(calls), **settings)

    def start() -> str:
        with pytest.raises(NotServedError) as caught:
            site.start()
        return str(caught.value)

    try:
        with ThreadPoolExecutor() as executor:
            starting = executor.submit(start)
            until(lambda: len(warmed(calls)) == 2, "the warm-up")
            site.signal(signal.SIGTERM)
            assert starting.result().startswith("It ended with ")
    finally:
        site.clean_up()


@pytest.mark.parametrize("path", ["other", "/a b", "/?x=1", "/%2f", "/x;y", "/$x"])
def test_what_is_no_path_is_rejected(path: str) -> None:
    with pytest.raises(Refusal, match=r"WARM_UP_PATH is .*; write a path below the mounts"):
        knobs.read({"WARM_UP_PATH": path})
