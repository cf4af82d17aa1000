"""What browsers are told to be careful about, on what, and that the app has the last word."""

import re

import httpx
import pytest

from tests.conftest import Serve
from tests.servers import KNOBS, PROJECT, Site
from tests.tls.conftest import APPS

ON_EVERYTHING = {"X-Content-Type-Options": "nosniff"}
ON_PAGES = {
    **ON_EVERYTHING,
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "bluetooth=(), hid=(), midi=(), serial=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
}
HSTS = {"Strict-Transport-Security": "max-age=300"}


def told(response: httpx.Response) -> list[tuple[str, str]]:
    """The headers that this is about, each as often as it came."""
    names = {name.lower(): name for name in {**ON_PAGES, **HSTS}}
    found = [(name.decode().lower(), value.decode()) for name, value in response.headers.raw]
    return sorted((names[name], value) for name, value in found if name in names)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (200, "/path/"),
        (404, "/path/nowhere"),
        (404, "/outside"),
        (308, "/path"),
        (500, "/path/boom"),
        (200, "/path/static/logo.svg"),
        (200, "/opinionated/say?type=application/pdf"),
        (200, "/opinionated/say?type=text/html;charset=UTF-16"),
    ],
)
def test_a_page_has_each_header_once(client: httpx.Client, status: int, path: str) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert told(response) == sorted({**ON_PAGES, **HSTS}.items())


def test_a_page_from_the_cache_has_each_header_once(client: httpx.Client) -> None:
    client.get("/path/copy")
    response = client.get("/path/copy")
    assert (response.http_version, response.headers["X-Cache"]) == ("HTTP/2", "hit")
    assert told(response) == sorted({**ON_PAGES, **HSTS}.items())


@pytest.mark.parametrize(
    "path",
    [
        "/path/static/style.css",
        "/path/static/stream.js",
        "/path/inspect",
        "/path/events?count=1",
        "/opinionated/say?type=image/png",
        "/opinionated/say?type=IMAGE/PNG",
    ],
)
def test_what_is_no_page_has_only_what_concerns_it(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert told(response) == sorted({**ON_EVERYTHING, **HSTS}.items())


@pytest.mark.parametrize("name", [*ON_PAGES, *HSTS])
@pytest.mark.parametrize("spelling", [str, str.lower], ids=["usual", "small"])
def test_what_the_app_says_itself_is_all_that_is_said(
    client: httpx.Client, name: str, spelling
) -> None:
    response = client.get("/opinionated/say", params={spelling(name): "of-the-app"})
    expected = {**ON_PAGES, **HSTS, name: "of-the-app"}
    assert told(response) == sorted(expected.items())


def test_nobody_says_which_software_in_which_version_this_is(
    client: httpx.Client, secure: Site
) -> None:
    own = {"Server": "Werkzeug/3.1 Python/3.13", "X-Powered-By": "Flask/3.1"}
    responses = [
        client.get("/opinionated/say", params=own),
        client.get("/path/static/style.css"),
        client.get("/outside"),
    ]
    for response in responses:
        assert response.headers.get_list("Server") == ["nginx"]
        assert "X-Powered-By" not in response.headers
    # nginx's own page of an error has its name at the foot.
    assert not re.search(r"nginx/\d", responses[-1].text)


def test_over_plain_http_there_is_no_hsts_and_nothing_else_that_needs_tls(secure: Site) -> None:
    response = secure.ask("/path/", {"Host": "localhost"})
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in response.headers
    assert "Cross-Origin-Opener-Policy" not in response.headers


def test_behind_a_proxy_that_speaks_tls_there_is_hsts(serve: Serve) -> None:
    site = serve("host", WORKERS=1, TRUSTED_PROXIES="127.0.0.1", HSTS_SECONDS=0)
    over_tls = site.ask("/path/", {"X-Forwarded-Proto": "https"})
    assert over_tls.headers.get_all("Strict-Transport-Security") == ["max-age=0"]
    assert over_tls.headers.get_all("Cross-Origin-Opener-Policy") == ["same-origin-allow-popups"]
    assert "Strict-Transport-Security" not in site.ask("/path/").headers


@pytest.mark.parametrize(
    "chosen", ["", "X-Frame-Options", "Referrer-Policy X-Content-Type-Options"]
)
def test_each_header_can_be_switched_off(serve: Serve, chosen: str) -> None:
    site = serve("host", WORKERS=1, SECURITY_HEADERS=chosen)
    with site.client() as client:
        sent = told(client.get("/path/"))
    assert sent == sorted((name, ON_PAGES[name]) for name in chosen.split())


def test_an_apps_own_header_stays_when_ours_is_switched_off(serve: Serve) -> None:
    site = serve(
        "host",
        files=[APPS / "opinionated.py"],
        MOUNTS="/=opinionated:app",
        SECRET_KEY="x",
        WORKERS=1,
        SECURITY_HEADERS="",
    )
    with site.client() as client:
        sent = told(client.get("/say", params={"X-Frame-Options": "DENY"}))
    assert sent == [("X-Frame-Options", "DENY")]


def test_the_knob_names_exactly_the_headers_there_are() -> None:
    from deploy.settings.kinds import SECURITY_HEADERS

    snippet = (PROJECT / "nginx/snippets/security-headers.conf").read_text()
    variables = set(re.findall(r"^map \S+ \$(\w+) \{", snippet, re.MULTILINE)) - {"is_page"}
    assert {name.lower().replace("-", "_") for name in SECURITY_HEADERS} == variables
    assert KNOBS["SECURITY_HEADERS"].split() == list(SECURITY_HEADERS)
