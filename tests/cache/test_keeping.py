"""What nginx keeps and shows to others, and what it never does."""

import contextlib
import re
from collections.abc import Mapping

import pytest

from tests.cache.conftest import KNOBS, PRESS, SIGNED_IN, Page, cached
from tests.servers import PROJECT, Serve, Site, until

PUBLIC = "public, max-age=60"
ON_HOST = pytest.mark.parametrize("press", ["host"], indirect=True)


def test_while_a_page_is_fresh_the_app_is_not_asked(page: Page) -> None:
    page.says(PUBLIC)
    first = page.ask()
    others = [page.ask() for _ in range(50)]
    assert (cached(first), {cached(other) for other in others}) == ("miss", {"hit"})
    assert {other.body for other in others} == {first.body}
    assert page.runs == 1


# Values of Cache-Control, a header each.
CACHED = [
    ["public, max-age=60"],
    ["max-age=60, public"],
    ["PUBLIC,MAX-AGE=60"],
    ["public , s-maxage=60"],
    ["no-transform, public, max-age=0, s-maxage=60"],
    ["public, max-age=60, immutable"],
    ["public, max-age=60, stale-while-revalidate=5, stale-if-error=5"],
    ["public", "max-age=60"],
    ["no-transform, public", "immutable", "max-age=60"],
]
NOT_CACHED = [
    [],
    [""],
    ["public"],
    ["max-age=60"],
    ["s-maxage=60"],
    ["not-public, max-age=60"],
    ["publicity, max-age=60"],
    ["public-ish, max-age=60"],
    ["x-public=public, max-age=60"],
    ["public, max-age=0"],
    ["public, max-age=60, s-maxage=0"],
    ["public, max-age=60", "s-maxage=0"],
    ["public, max-age=60, max-age=0"],
    ["public, max-age=60", "max-age=0"],
    ["public, max-age=0", "max-age=60"],
    ["public, max-age=soon"],
    ["public, max-age=-1"],
    ['public, max-age="60"'],
    ["public, max-age=60.5"],
    ["public, max-age=99999999999999999999"],
    ["public; max-age=60"],
    ["public max-age=60"],
    ["private, max-age=60"],
    ["public, private, max-age=60"],
    ["public, max-age=60", "private"],
    ["private", "public, max-age=60"],
    ['public, private="X-Name", max-age=60'],
    ["public, no-store, max-age=60"],
    ["public, max-age=60", "NO-STORE"],
    ["public, no-cache, max-age=60"],
    ['public, max-age=60, no-cache="Set-Cookie"'],
    ["public, max-age=60", "no-cache"],
    ["public, max-age=60, must-revalidate"],
    ["public, max-age=60", "must-revalidate"],
    ["public, max-age=60", "MUST-REVALIDATE"],
    ["must-revalidate", "public, max-age=60"],
    ["public, max-age=60", "no-transform", "must-revalidate"],
    ["public, s-maxage=60, proxy-revalidate"],
    ["public, s-maxage=60", "proxy-revalidate"],
    ["public, max-age=60, must-understand"],
    ["public, max-age=60, no-such-directive"],
    ["public, max-age=60, no-such-directive=5"],
    ["public, max-age=60,, no-store"],
]
VARY = {
    "cached": [
        ["Accept-Encoding"],
        ["accept, ACCEPT-LANGUAGE"],
        ["Cookie"],
        ["Accept-Encoding, Cookie, Origin"],
    ],
    "not cached": [
        ["*"],
        ["Accept, *"],
        ["*, Accept"],
        ["Accept,*,Cookie"],
        ["User-Agent"],
        ["Accept-Encoding, X-Colour"],
        ["X-Colour", "Accept-Encoding"],
    ],
}
STATUSES = {200: True, 404: True, 410: True, 201: False, 400: False, 403: False, 500: False}
# The names in the maps that decide which requests bypass the cache.
BYPASS = [
    name.replace("_", "-")
    for name in re.findall(
        r"\$http_(\w+)(?=[\"$])",
        (PROJECT / "nginx/modes/cache-zone.conf.template").read_text(),
    )
    if name not in {"cookie", "authorization", "transfer_encoding"}
]


def control(values: list[str]) -> list[tuple[str, str]]:
    return [("Cache-Control", value) for value in values]


@pytest.mark.parametrize("values", CACHED, ids=str)
@ON_HOST
def test_a_page_is_cached_that_is_public_and_fresh(page: Page, values: list[str]) -> None:
    page.says(None, *control(values))
    assert page.ask().body == page.ask().body
    assert page.runs == 1


@pytest.mark.parametrize("values", NOT_CACHED, ids=str)
@ON_HOST
def test_no_other_page_is_cached(page: Page, values: list[str]) -> None:
    page.says(None, *control(values), ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"))
    assert page.ask().body != page.ask().body
    assert page.runs == 2


@pytest.mark.docker  # another nginx than this machine's
def test_the_containers_nginx_agrees(shared_site: Serve) -> None:
    site = shared_site("compose", files=(PRESS,), **KNOBS)
    for number, values in enumerate((*CACHED, *NOT_CACHED)):
        page = Page(site, f"agrees{number}")
        page.says(None, *control(values))
        assert (page.ask().body == page.ask().body) is (values in CACHED), values
    for expected, many in VARY.items():
        for number, values in enumerate(many):
            page = Page(site, f"{expected}{number}".replace(" ", ""))
            page.says(PUBLIC, *(("Vary", value) for value in values))
            assert (page.ask().body == page.ask().body) is (expected == "cached"), values


@ON_HOST
def test_only_known_kinds_of_vary_are_cached(press: Site) -> None:
    for expected, many in VARY.items():
        for number, values in enumerate(many):
            page = Page(press, f"vary{expected}{number}".replace(" ", ""))
            page.says(PUBLIC, *(("Vary", value) for value in values))
            assert (page.ask().body == page.ask().body) is (expected == "cached"), values


@ON_HOST
def test_only_statuses_that_are_about_the_address_are_cached(press: Site) -> None:
    for status, expected in STATUSES.items():
        page = Page(press, f"status{status}")
        page.says(PUBLIC, status=status)
        assert (page.ask().body == page.ask().body) is expected, status


@ON_HOST
def test_a_response_without_a_length_which_may_be_half_of_one_is_not_cached(page: Page) -> None:
    page.says(PUBLIC, streamed=True)
    assert page.ask().body != page.ask().body


@ON_HOST
def test_headers_that_choose_another_response_bypass_the_cache(press: Site) -> None:
    assert {"x-http-method-override", "content-type", "hx-request", "x-api-key"} <= {*BYPASS}
    for name in BYPASS:
        page = Page(press, f"bypass{name}")
        page.says(PUBLIC)
        theirs = page.ask({name: "HEAD"})
        assert cached(theirs) is None, name
        ours = page.ask()
        assert (cached(ours), ours.body != theirs.body) == ("miss", True), name
        assert cached(page.ask({name: "HEAD"})) is None, name


@ON_HOST
def test_each_accept_and_accept_language_is_a_page_of_its_own(page: Page) -> None:
    page.says(PUBLIC)
    asked = [
        {},
        {"Accept": "text/html"},
        {"Accept": "application/json"},
        {"Accept-Language": "de"},
        {"Accept-Language": "fr"},
        {"Accept": "a b"},
        {"Accept": "a", "Accept-Language": "b"},
    ]
    bodies = [page.ask(headers).body for headers in asked]
    assert len(set(bodies)) == len(asked)
    assert [page.ask(headers).body for headers in asked] == bodies


def test_a_page_that_sets_a_cookie_is_not_kept(page: Page) -> None:
    page.says(PUBLIC, ("Set-Cookie", "session=ada"))
    assert page.ask().body != page.ask().body
    page.says(PUBLIC)
    assert "Set-Cookie" not in page.ask().headers


@pytest.mark.parametrize(
    "own", [SIGNED_IN, {"Authorization": "Basic YWRhOmFkYQ=="}, {"cookie": "x"}]
)
def test_who_is_signed_in_neither_gets_a_kept_page_nor_leaves_one(
    page: Page, own: Mapping[str, str]
) -> None:
    page.says(PUBLIC)
    mine = page.ask(own)
    assert cached(mine) is None
    everybodys = page.ask()
    assert (cached(everybodys), everybodys.body != mine.body) == ("miss", True)
    again = page.ask(own)
    assert cached(again) is None
    assert again.body != everybodys.body
    assert page.ask().body == everybodys.body


@ON_HOST
def test_a_body_in_a_get_changes_the_page_for_nobody_else(page: Page, press: Site) -> None:
    page.says(PUBLIC)
    target = f"/path/page/{page.name}"
    with_length = press.ask(target, body=b"evil")
    chunked = press.ask(target, {"Transfer-Encoding": "chunked"}, body=b"4\r\nevil\r\n0\r\n\r\n")
    assert "evil" in with_length.text
    assert "evil" in chunked.text
    assert "evil" not in page.ask().text


def test_the_head_of_a_page_is_kept_with_the_page_and_never_in_its_place(page: Page) -> None:
    page.says(PUBLIC)
    assert page.ask(method="HEAD").status == 200
    whole = page.ask()
    assert (cached(whole), len(whole.body) > 0) == ("miss", True)
    head = page.ask(method="HEAD")
    assert (cached(head), head.body) == ("hit", b"")
    assert head.headers["Content-Length"] == str(len(whole.body))
    assert page.ask().body == whole.body
    assert page.runs == 2


@ON_HOST
def test_other_methods_go_to_the_app(page: Page) -> None:
    page.says(PUBLIC)
    page.ask()
    for method in ("POST", "DELETE", "OPTIONS"):
        response = page.ask(method=method)
        assert (response.status, cached(response)) == (200 if method == "OPTIONS" else 405, None)


@pytest.mark.parametrize(
    "other",
    [
        {"Host": "other.example"},
        {"X-Forwarded-Host": "other.example"},
        {"X-Forwarded-Proto": "https"},
        {"Host": "127.0.0.1:1"},
    ],
)
@ON_HOST
def test_another_host_or_scheme_is_another_page(page: Page, other: Mapping[str, str]) -> None:
    page.says(PUBLIC)
    theirs = page.ask(other)
    ours = page.ask()
    assert cached(ours) == "miss"
    assert ours.text.split()[1] == f"{page.site.url}/path/page/{page.name}"
    assert page.ask(other).body == theirs.body


@ON_HOST
def test_what_is_no_host_or_scheme_changes_no_page(page: Page) -> None:
    page.says(PUBLIC)
    evil = {
        **{"X-Forwarded-Proto": "javascript", "X-Forwarded-Prefix": "/evil", "X-Scheme": "evil"},
        **{"X-Forwarded-Port": "666", "X-Original-URL": "/evil", "Forwarded": "host=evil.example"},
    }
    theirs = page.ask(evil)
    assert theirs.text.split()[1] == f"{page.site.url}/path/page/{page.name}"
    assert page.ask().body == theirs.body


@ON_HOST
def test_each_address_is_a_page_with_all_of_its_query(page: Page, press: Site) -> None:
    page.says(PUBLIC)
    path = f"/path/page/{page.name}"
    targets = [path, f"{path}?", f"{path}?a=1", f"{path}?a=1&b=2", f"{path}?b=2&a=1", f"/{path}"]
    bodies = [press.ask(target).body for target in targets]
    assert len(set(bodies)) == len(targets)
    assert [press.ask(target).body for target in targets] == bodies


@ON_HOST
def test_a_part_of_a_kept_page_is_sent_without_the_app(page: Page) -> None:
    page.says(PUBLIC, ("Accept-Ranges", "bytes"))
    whole = page.ask()
    part = page.ask({"Range": "bytes=2-5"})
    assert (part.status, part.body, cached(part)) == (206, whole.body[2:6], "hit")
    assert page.runs == 1


@ON_HOST
@pytest.mark.parametrize("cache_control", [PUBLIC, None])
def test_a_part_of_a_page_that_is_not_kept_is_the_apps_and_is_not_kept(
    page: Page, cache_control: str | None
) -> None:
    page.says(cache_control)
    part = page.ask({"Range": "bytes=2-5"})
    assert (part.status, len(part.body)) == (206, 4)
    whole = page.ask()
    assert (whole.status, len(whole.body) > 4) == (200, True)


@ON_HOST
def test_the_app_hears_what_part_is_asked_for_and_what_the_client_has(page: Page) -> None:
    sent = {
        **{"Range": "bytes=2-5", "If-Range": '"v1"', "If-None-Match": '"v0"'},
        "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT",
    }
    for cache_control in (None, PUBLIC):
        page.says(cache_control)
        assert page.ask(sent).headers["X-Conditions"] == " ".join(sent.values())
    assert page.ask().headers["X-Conditions"] == "- - - -"


@ON_HOST
def test_a_page_that_the_client_has_is_not_sent_again(page: Page) -> None:
    page.says(PUBLIC, ("ETag", '"v1"'))
    for runs in (1, 2, 2):  # the app's own 304, which is not cached; then one from the cache
        response = page.ask({"If-None-Match": '"v1"'})
        assert (response.status, response.body) == (304, b"")
        assert page.runs == runs
        assert page.ask().status == 200


def test_the_id_on_a_kept_page_is_that_of_this_request(page: Page, press: Site) -> None:
    page.says(PUBLIC, ("X-Request-ID", "of the app"))
    responses = [page.ask() for _ in range(3)]
    ids = [response.headers.get_all("X-Request-ID") for response in responses]
    assert {len(found) for found in ids} == {1}
    assert len({found[0] for found in ids}) == 3
    assert [press.reached_the_app(response) for response in responses] == [True, False, False]


@ON_HOST
def test_a_kept_page_has_the_same_headers_as_it_had(page: Page) -> None:
    own = [("X-Frame-Options", "DENY"), ("Server", "press/1"), ("Content-Language", "en")]
    page.says(PUBLIC, *own)
    first, kept = (
        {
            n: v
            for n, v in page.ask().headers.items()
            if n not in {"X-Request-ID", "X-Cache", "Date"}
        }
        for _ in range(2)
    )
    assert kept == first
    assert page.ask().headers.get_all("X-Frame-Options") == ["DENY"]
    assert kept["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert kept["Cache-Control"] == PUBLIC
    assert (kept["Server"], kept["Content-Language"]) == ("nginx", "en")


@ON_HOST
def test_half_an_answer_is_not_kept(page: Page) -> None:
    page.says(PUBLIC, ("Content-Length", "1000"))
    with pytest.raises(Exception, match="IncompleteRead"):
        page.ask()
    page.says(PUBLIC)
    assert cached(page.ask()) == "miss"


@pytest.mark.parametrize(
    "knobs", [{"CACHE_SIZE": 0}, {"UWSGI_DEBUG": 1, "TRUSTED_PROXIES": ""}], ids=str
)
def test_it_can_be_switched_off_and_is_with_the_debugger_on(
    serve: Serve, knobs: dict[str, object]
) -> None:
    page = Page(serve("host", files=[PRESS], **KNOBS | knobs), "off")
    page.says(PUBLIC)
    responses = [page.ask(), page.ask()]
    assert responses[0].body != responses[1].body
    assert [cached(response) for response in responses] == [None, None]


def test_kept_pages_count_towards_a_clients_share(serve: Serve) -> None:
    site = serve("host", files=[PRESS], **KNOBS, CLIENT_REQUESTS_PER_SECOND=1)
    page = Page(site, "counted")
    statuses = []

    def rejected() -> bool:
        statuses.append(page.ask({"X-Forwarded-For": "192.0.2.1"}).status)
        return statuses.count(429) >= 10

    until(rejected, "ten that are too many in a second")
    assert statuses[0] == 200


@pytest.mark.slow
def test_it_takes_no_more_room_than_it_may(serve: Serve) -> None:
    site = serve("host", files=[PRESS], **KNOBS, CACHE_SIZE="1m")
    page = Page(site, "large")
    page.says(PUBLIC, more="x" * 100_000)
    for number in range(40):
        assert cached(site.ask(f"/path/page/large?{number}")) == "miss"

    def size() -> int:
        total = 0
        for file in (site.folder / ".run" / "spool" / "cache").iterdir():
            with contextlib.suppress(FileNotFoundError):  # nginx removes it just now
                total += file.stat().st_blocks * 512
        return total

    until(lambda: size() <= 1024**2, "nginx to tidy up")
    assert cached(site.ask("/path/page/large?39")) == "hit"
    assert cached(site.ask("/path/page/large?0")) == "miss"
