"""Which URL is whose: the app's below its mount, nginx's everywhere else."""

import re
from urllib.parse import urljoin

import pytest

from tests.servers import Site


def test_the_mount_answers(site: Site) -> None:
    response = site.ask("/path/")
    assert response.status == 200, response.text
    assert site.reached_the_app(response)


@pytest.mark.parametrize("query", ["", "?x=1&y=%20&z=a+b", "?next=http://example.com/"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "shop.example:9443"])
def test_the_mount_without_its_slash_leads_there_with_port_and_query(
    site: Site, host: str, query: str
) -> None:
    # A mapped port is one that nginx does not know of, like that of the third name.
    authority = host if ":" in host else f"{host}:{site.port}"
    response = site.ask(f"/path{query}", {"Host": authority})
    assert response.status == 308, "a POST would come back as a GET"
    location = urljoin(f"http://{authority}/path{query}", response.headers["Location"])
    assert location == f"http://{authority}/path/{query}"


@pytest.mark.parametrize(
    "target",
    ["/", "/pathology", "/path.html", "/PATH/", "/PATH", "/favicon.ico", "/static/style.css"],
)
def test_what_is_outside_the_mount_is_404_from_nginx_and_never_reaches_python(
    site: Site, target: str
) -> None:
    response = site.ask(target)
    assert response.status == 404
    assert "<center>nginx</center>" in response.text
    assert not site.reached_the_app(response)


@pytest.mark.parametrize("target", ["/nginx-error-pages/502.html", "/nginx/nginx.conf", "/.env"])
def test_what_nginx_keeps_for_itself_is_404(site: Site, target: str) -> None:
    assert site.ask(target).status == 404


# What the app is asked for when a URL is written in an unusual way: the path below the mount as
# Flask sees it. A number is the status of nginx's own response.
#
# nginx decodes the path and removes dots before it looks for the mount, and tells the app the
# result. An encoded slash is a slash. nginx does not merge slashes: Flask does, with a redirect,
# except at the beginning.
UNUSUAL = {
    "/path//inspect": "/inspect",
    "/path////inspect": "/inspect",
    "//path/inspect": 404,
    "///path///inspect///a": 404,
    "//path": 404,
    "/path//../inspect": "/inspect",
    "/path/inspect/a//b": "/inspect/a//b",
    "/path/inspect/https://example.com/a//b": "/inspect/https://example.com/a//b",
    "/path/inspect/..//inspect": "/inspect",
    "/path/inspect/a%2Fb": "/inspect/a/b",
    "/path%2Finspect": "/inspect",
    "/%70ath/inspect": "/inspect",
    "/path/inspect/caf%C3%A9": "/inspect/café",
    "/path/inspect/café": "/inspect/café",
    "/path/inspect/%E6%97%A5%E6%9C%AC": "/inspect/日本",
    "/path/inspect/%FF": "/inspect/\N{REPLACEMENT CHARACTER}",
    "/path/inspect/a%20b": "/inspect/a b",
    "/path/inspect/a+b": "/inspect/a+b",
    "/path/inspect/100%25": "/inspect/100%",
    "/path/inspect/%252F": "/inspect/%2F",
    "/path/inspect/%3Fx": "/inspect/?x",
    "/path/inspect/a;b=c": "/inspect/a;b=c",
    "/path/./inspect": "/inspect",
    "/path/x/../inspect": "/inspect",
    "/path/../path/inspect": "/inspect",
    "/other/../path/inspect": "/inspect",
    "/path/inspect/%2e%2e/inspect/a": "/inspect/a",
    "/path/..": 404,
    "/path/../inspect": 404,
    "/path/%2e%2e/inspect": 404,
    "/path/..%2finspect": 404,
    "/path/../../inspect": 400,
    "/path/inspect/%00": 400,
    "/path/inspect/%zz": 400,
}


@pytest.mark.parametrize(("target", "expected"), UNUSUAL.items(), ids=UNUSUAL)
def test_an_unusual_way_to_write_a_url(site: Site, target: str, expected: str | int) -> None:
    response = site.ask(target)
    if isinstance(expected, int):
        assert response.status == expected
        assert "<center>nginx</center>" in response.text
    else:
        assert response.status == 200, response.text
        seen = response.json()
        assert (seen["path"], seen["script_root"]) == (expected, "/path")


@pytest.mark.parametrize("target", ["/path/inspect//a", "/path//inspect//a"])
def test_flask_itself_redirects_to_a_path_without_double_slashes(site: Site, target: str) -> None:
    response = site.ask(f"{target}?x=1")
    assert response.status in (301, 303, 308)
    merged = re.sub("/+", "/", target)
    assert response.headers["Location"] == f"http://127.0.0.1:{site.port}{merged}?x=1"


def test_the_query_reaches_the_app_as_it_was_sent(site: Site) -> None:
    query = "a=1&a=2&b=%2F+%26&c&%C3%A9=%FF&//=../x"
    assert site.ask(f"/path/inspect?{query}").json()["query_string"] == query
