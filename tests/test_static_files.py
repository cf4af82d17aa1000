"""Static files are nginx's business, and nothing else is a static file."""

import gzip
import re
from html import unescape

import pytest

from tests.servers import PROJECT, Site

STYLE = (PROJECT / "yourapplication" / "static" / "style.css").read_bytes()


def test_a_static_file_comes_from_nginx_itself_and_may_be_kept(site: Site) -> None:
    answer = site.ask("/path/static/style.css")
    assert answer.body == STYLE
    assert answer.headers["Content-Type"] == "text/css"
    assert int(re.fullmatch(r"max-age=(\d+)", answer.headers["Cache-Control"])[1]) > 0
    assert not site.reached_the_app(answer)


def test_a_static_file_comes_compressed_to_those_who_take_it(site: Site) -> None:
    answer = site.ask("/path/static/style.css", {"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert len(answer.body) < len(STYLE) / 2
    assert gzip.decompress(answer.body) == STYLE
    assert not site.reached_the_app(answer)


def test_a_static_file_that_the_client_has_is_not_sent_again(site: Site) -> None:
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        tag = site.ask("/path/static/style.css", headers).headers["ETag"]
        answer = site.ask("/path/static/style.css", headers | {"If-None-Match": tag})
        assert (answer.status, answer.body) == (304, b"")
        assert not site.reached_the_app(answer)


def test_many_ranges_of_a_static_file_are_no_502(site: Site) -> None:
    ranges = ",".join(f"{start}-{start}" for start in range(0, 1000, 2))
    answer = site.ask("/path/static/style.css", {"Range": f"bytes={ranges}"})
    assert answer.status in {200, 206}
    answer = site.ask("/path/static/style.css", {"Range": "bytes=0-4"})
    assert (answer.status, answer.body) == (206, STYLE[:5])


def test_a_static_file_that_does_not_exist_is_the_apps_own_404(site: Site) -> None:
    for target in ("/path/static/nothing.css", "/path/static/", "/path/static"):
        answer = site.ask(target)
        assert answer.status == 404
        assert 'href="/path/static/style.css"' in answer.text, "this is not the app's page"


@pytest.mark.parametrize("mount", ["/shop", "/shop/second"])
def test_an_app_and_its_blueprints_have_their_static_files_at_each_mount(
    crowd: Site, mount: str
) -> None:
    page = crowd.ask(f"{mount}/").text
    files = [unescape(url) for url in re.findall(r'(?:rel="stylesheet" href|src)="([^"]*)"', page)]
    assert files == [f"{mount}/static/shop.css", f"{mount}/basket/files/basket.svg"]
    for file in files:
        answer = crowd.ask(file)
        assert answer.status == 200, file
        assert not crowd.reached_the_app(answer), f"the app had to serve {file}"


def test_each_app_has_its_own_static_files(crowd: Site) -> None:
    assert crowd.ask("/static/style.css").body == STYLE
    assert crowd.ask("/a/b/static/style.css").body == STYLE
    assert crowd.ask("/static/shop.css").status == 404
    assert crowd.ask("/shop/static/style.css").status == 404
    assert crowd.ask("/note/static/shop.css").status == 404


@pytest.mark.parametrize("file", [".hidden", ".git/config", "%2ehidden", "x/../.hidden"])
def test_a_hidden_file_in_a_static_folder_stays_hidden(crowd: Site, file: str) -> None:
    answer = crowd.ask(f"/shop/static/{file}")
    assert answer.status == 404
    assert not crowd.reached_the_app(answer), "Flask would send it"


def test_nginx_has_no_copy_of_what_a_link_leads_to(crowd: Site) -> None:
    assert crowd.reached_the_app(crowd.ask("/shop/static/link.txt"))


@pytest.mark.parametrize(
    "target",
    [
        "/path/__init__.py",
        "/path/settings.py",
        "/path/static/../settings.py",
        "/path/static../settings.py",
        "/path/static/%2e%2e/settings.py",
        "/path/static/..%2fsettings.py",
        "/path/static/..%5csettings.py",
        "/path/static/%2e%2e/%2e%2e/.env",
        "/path/static/%2e%2e/templates/base.html",
        "/path/static//etc/passwd",
        "/path/static/%2fetc%2fpasswd",
    ],
)
def test_what_lies_beside_the_static_folder_is_no_static_file(site: Site, target: str) -> None:
    assert site.ask(target).status == 404
