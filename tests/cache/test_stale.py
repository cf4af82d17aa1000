"""A page that is no longer fresh: one request renews it; while the app is down it still comes."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cache.conftest import KNOBS, PRESS, Page, cached
from tests.servers import PROJECT, ComposeSite, Serve, Site, until


def grow_old(page: Page) -> bytes:
    """Have a page kept, wait until it is no longer fresh, and return it."""
    kept, when = page.ask(), time.monotonic()
    until(lambda: time.monotonic() - when > 2, "it to grow old")  # nginx counts whole seconds
    return kept.body


def test_one_request_renews_a_page_that_many_ask_for(page: Page) -> None:
    page.says("public, max-age=1, stale-while-revalidate=60")
    old = grow_old(page)
    page.says("public, max-age=60", seconds=3)
    responses = page.asked_at_once(30)
    assert {(cached(response), response.body) for response in responses} == {("stale", old)}
    new = until(lambda: (now := page.ask()).body != old and now, "the new page")
    assert cached(new) == "hit"
    assert page.runs == 2


@pytest.mark.parametrize("press", ["host"], indirect=True)
@pytest.mark.parametrize(
    "now",
    [
        {"status": 404},
        {"cache_control": "private"},
        {"cache_control": "max-age=60"},
        {"cache_control": "public, max-age=60, must-revalidate"},
        {"cache_control": "public, max-age=60", "status": 500},
        {"cache_control": "public, max-age=60", "streamed": True},
    ],
    ids=str,
)
def test_a_page_that_is_gone_or_private_is_not_shown_for_longer_than_it_said(
    page: Page, now: dict
) -> None:
    page.says("public, max-age=1, stale-while-revalidate=1")
    old = page.ask()
    page.says(**{"cache_control": None, **now})
    # Requested continuously; each response asks for revalidation.
    until(lambda: page.ask().body != old.body, "the page of now", 30)
    assert page.ask().body != old.body


@contextlib.contextmanager
def down(site: Site) -> Iterator[None]:
    """No app is there."""
    if isinstance(site, ComposeSite):
        site.compose("stop", "app")
        try:
            yield
        finally:
            site.compose("up", "--detach", "--wait", "app")
    else:
        live = site.folder / ".run" / "sockets" / "live.sock"
        away = live.rename(live.with_suffix(".away"))
        try:
            yield
        finally:
            away.rename(live)


def test_while_the_app_is_down_a_page_that_is_too_old_still_comes(page: Page) -> None:
    page.says("public, max-age=1")
    old = grow_old(page)
    with down(page.site):
        responses = [page.ask() for _ in range(10)]
        assert {(a.status, cached(a), a.body) for a in responses} == {(200, "stale", old)}
        assert page.ask(method="HEAD").status == 200
        assert page.site.ask("/path/page/never-seen").status == 503
        signed_in = page.ask({"Cookie": "session=ada"})
        assert (signed_in.status, cached(signed_in)) == (503, None)
    until(lambda: page.ask().body != old, "the app's response")


@pytest.mark.parametrize("press", ["host"], indirect=True)
def test_an_app_that_takes_too_long_or_breaks_off_is_as_good_as_down(
    page: Page, press: Site
) -> None:
    page.says("public, max-age=1")
    old = grow_old(page)
    page.says("public, max-age=1", seconds=60)  # REQUEST_TIMEOUT is 5
    before = press.workers()
    assert (cached(late := page.ask()), late.body) == ("stale", old)
    until(lambda: press.workers() - before, "a new worker without requests")
    page.says("public, max-age=1", exit=True)
    assert (cached(broken := page.ask()), broken.body) == ("stale", old)


@pytest.mark.parametrize("press", ["host"], indirect=True)
def test_nginx_does_not_call_itself_well_because_of_a_kept_page(press: Site) -> None:
    def health() -> subprocess.CompletedProcess[str]:
        given = {**press.environment, "LISTEN": f"127.0.0.1:{press.port}", "SERVER_NAMES": ""}
        given |= {"TLS_CERTIFICATE": "/dev/null", "PROXY_PROTOCOL": ""}
        script = PROJECT / "nginx" / "health.sh"
        return subprocess.run(
            [script, press.folder / ".run"], env=given, capture_output=True, text=True, check=False
        )

    # The test before has ended the worker.
    until(lambda: cached(press.ask("/path/")) == "hit", "a hit")
    assert until(lambda: health().returncode == 0, "a new worker")
    with down(press):
        # A page for a minute, from whenever.
        assert cached(press.ask("/path/")) in {"hit", "stale"}
        assert health().stderr == "nginx responds with 503 to /path/\n"


@pytest.mark.parametrize("press", ["host"], indirect=True)
def test_an_answer_of_the_app_is_never_replaced_by_an_old_page(page: Page) -> None:
    page.says("public, max-age=1")
    grow_old(page)
    for status in (404, 403, 500, 503):
        page.says(None, status=status)
        assert page.ask().status == status


@pytest.mark.docker
@pytest.mark.slow
def test_a_restart_of_the_app_is_not_seen_on_a_kept_page(serve: Serve) -> None:
    page = Page(site := serve("compose", files=[PRESS], **KNOBS), "restart")
    page.says("public, max-age=1")
    page.ask()
    seen: list[tuple[int, str | None]] = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.05):
            response = page.ask()
            seen.append((response.status, cached(response)))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        site.compose("stop", "app")
        until(lambda: (200, "stale") in seen, "a page that is too old")
        site.compose("up", "--detach", "--wait", "app")
    finally:
        over.set()
        visitor.join()
    assert {status for status, _ in seen} == {200}
