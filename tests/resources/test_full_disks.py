"""A full disk: the log names it, what does not need it is served, and it recovers by itself."""

import contextlib
import http.client

import pytest

from tests.resources.small import BODY, FILL, SECONDS, full, logged
from tests.servers import ComposeSite, until

pytestmark = pytest.mark.docker


def assert_the_rest_is_served(site: ComposeSite) -> None:
    assert site.ask("/x/").status == 200
    assert site.ask("/x/static/scarce.css").status == 200
    assert site.ask("/x/upload", method="POST", body=b"small").text == "5"


@pytest.mark.parametrize("lack", FILL)
def test_without_room_in_the_spool_only_large_bodies_are_rejected(
    small_site: ComposeSite, lack: str
) -> None:
    site = small_site
    seen = len(site.logs("nginx"))
    with full(site, "nginx", "/run/web/spool", FILL[lack]):
        assert_the_rest_is_served(site)
        answer = site.ask("/x/upload", method="POST", body=BODY)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        logged(site, "nginx", seen, rf"\(/run/web/spool\) has no {lack} left:")
        assert_the_rest_is_served(site)
    logged(site, "nginx", seen, r"\(/run/web/spool\) has room again\.")
    assert site.ask("/x/upload", method="POST", body=BODY).text == "100000"


@pytest.mark.parametrize("lack", FILL)
def test_without_room_for_the_cache_pages_are_served_without_it(
    small_site: ComposeSite, lack: str
) -> None:
    site = small_site
    kept, new = f"/x/public?kept-{lack}", f"/x/public?new-{lack}"

    def cached(page: str) -> bool:
        return site.ask(page).headers["X-Cache"] == "hit"

    def served(page: str) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return site.ask(page).status == 200
        return False

    until(lambda: cached(kept), "a cached page", SECONDS)
    with full(site, "nginx", "/run/web/spool", FILL[lack]):
        until(lambda: served(new), "a page that cannot be cached", SECONDS)
        assert cached(kept)
    until(lambda: cached(new), "the cache", SECONDS)


@pytest.mark.parametrize("lack", FILL)
def test_without_room_in_tmpdir_only_large_bodies_are_rejected(
    small_site: ComposeSite, lack: str
) -> None:
    site = small_site
    seen = len(site.logs("app"))
    with full(site, "app", "/run/web/tmp", FILL[lack]):
        assert_the_rest_is_served(site)
        answer = site.ask("/x/upload", method="POST", body=BODY)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        logged(site, "app", seen, "has no room for a request body of 100000 bytes")
        logged(site, "app", seen, rf"TMPDIR \(.*\) has no {lack} left")
    logged(site, "app", seen, rf"TMPDIR \(.*\) has {lack} again\.")
    assert site.ask("/x/upload", method="POST", body=BODY).text == "100000"


def test_a_body_that_tmpdir_has_room_for_but_not_for_its_end_is_rejected(
    small_site: ComposeSite,
) -> None:
    # 24 pages of 4 kB, and a bit.
    all_but = f"{FILL['space']}; truncate -s -{24 * 4096} {{0}}/fill"
    with full(small_site, "app", "/run/web/tmp", all_but):
        assert small_site.ask("/x/upload", method="POST", body=BODY).status == 503
        assert small_site.ask("/x/upload", method="POST", body=BODY[:90_000]).text == "90000"


@pytest.mark.parametrize("lack", FILL)
def test_without_room_in_data_dir_what_does_not_write_is_served(
    small_site: ComposeSite, lack: str
) -> None:
    site = small_site
    seen = len(site.logs("app"))
    with full(site, "app", "/app/instance", FILL[lack]):
        assert site.ask("/x/data", method="POST").status == 500
        assert_the_rest_is_served(site)
        assert site.ask("/x/upload", method="POST", body=BODY).text == "100000"
        logged(site, "app", seen, rf"DATA_DIR \(/app/instance\) has no {lack} left")
    logged(site, "app", seen, rf"DATA_DIR \(/app/instance\) has {lack} again\.")
    assert site.ask("/x/data", method="POST").status == 200
