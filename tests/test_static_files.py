"""Static files are nginx's business, and nothing else is a static file."""

import gzip
import re
from html import unescape
from pathlib import Path

import brotli
import pytest

from tests.servers import PROJECT, ComposeSite, Serve, Site

MODULE = Path("/usr/lib/nginx/modules/ngx_http_brotli_static_module.so")
# As Chrome and Firefox send it. Of a value that ends with "br", brotli_static 1.0.0 also reads the
# three bytes behind the end, and what they happen to be decides whether it sends brotli.
BROWSERS = "gzip, deflate, br, zstd"
FINGERPRINTED = [
    *("app.3f2a9c1b.js", "app-3f2a9c1b.css", "main.3f2a9c1b.chunk.js", "main.3f2a9c1b.js.map"),
    *("packed.3f2a9c1b.css", "style.55e7cbb9ba48.css", "style.min.55e7cbb9ba48.css"),
    *("index.1a2b3c4d5e.mjs", "font-awesome-0a1b2c3d.woff2", "logo.0123456789abcdef.svg"),
    *("hello-d41d8cd98f00b204e9800998ecf8427e.png", f"site-{'0a' * 32}.css"),
    *("chunk-vendors.0af3bd2e9c14a6b7c8d9.js", "app-9a3f2c1e0b7d4f6a8c5e1b2d3f4a5c6e7b8d9f0a.js"),
]
ORDINARY = [
    *("app.js", "jquery-3.7.1.min.js", "bootstrap-5.3.3.bundle.min.js", "style-v2.css", "logo.svg"),
    *("report-20240131.csv", "photo.1234567890.jpg", "IMG-20240131-WA0001.jpg", "my-carousel.js"),
    *("facade.css", "cafe-deadbeef.css", "decade-effaced.css", "theme-MyBrand1.css", "a1b2c3d4.js"),
    *(
        "avatar-550e8400-e29b-41d4-a716-44665544abcd.png",
        "550e8400-e29b-41d4-a716-44665544abcd.png",
    ),
    *("sample-3f2a9c1.js", "sample-3f2a9c1b9.js", "scan-20240131a.png", "README-3F2A9C1B.txt"),
    *("app.3f2a9c1b", "3f2a9c1b-app.js", "app3f2a9c1b.js", "release-2024.06.01.css"),
]
STYLE = (PROJECT / "yourapplication" / "static" / "style.css").read_bytes()


def test_a_static_file_comes_from_nginx_itself_and_may_be_kept(site: Site) -> None:
    response = site.ask("/path/static/style.css")
    assert response.body == STYLE
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert int(re.fullmatch(r"max-age=(\d+)", response.headers["Cache-Control"])[1]) > 0
    assert not site.reached_the_app(response)


def test_a_static_file_comes_compressed_to_those_who_take_it(site: Site) -> None:
    response = site.ask("/path/static/style.css", {"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert len(response.body) < len(STYLE) / 2
    assert gzip.decompress(response.body) == STYLE
    assert not site.reached_the_app(response)


def test_brotli_is_preferred_where_nginx_has_it(site: Site) -> None:
    expected = "br" if isinstance(site, ComposeSite) or MODULE.exists() else "gzip"
    response = site.ask("/path/static/style.css", {"Accept-Encoding": BROWSERS})
    assert response.headers["Content-Encoding"] == expected
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    if expected == "br":
        assert brotli.decompress(response.body) == STYLE
    assert "Content-Encoding" not in site.ask("/path/static/style.css").headers


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["compose"])
def test_an_image_has_the_smallest_twins(site: Site) -> None:
    response = site.ask("/path/static/style.css", {"Accept-Encoding": BROWSERS})
    assert len(response.body) == len(brotli.compress(STYLE, quality=11))
    assert len(response.body) < len(brotli.compress(STYLE, quality=6))


def test_what_has_a_fingerprint_in_its_name_may_be_kept_for_good(
    serve: Serve, tmp_path: Path
) -> None:
    static = tmp_path / "static"
    static.mkdir()
    for name in (*FINGERPRINTED, *ORDINARY):
        (static / name).write_text(name)
    app = tmp_path / "bare.py"
    app.write_text("from flask import Flask\napp = Flask(__name__)\n")
    site = serve("host", files=[static, app], MOUNTS="/=bare:app", SECRET_KEY="x", WORKERS=1)
    said = {
        n: site.ask(f"/static/{n}").headers["Cache-Control"] for n in (*FINGERPRINTED, *ORDINARY)
    }
    assert {n for n, text in said.items() if "immutable" in text} == {*FINGERPRINTED}
    assert set(said.values()) == {"max-age=3600", "public, max-age=31536000, immutable"}
    missing = site.ask("/static/app.3f2a9c1d.js")
    assert (missing.status, missing.headers["Cache-Control"]) == (404, None)


def test_a_static_file_that_the_client_has_is_not_sent_again(site: Site) -> None:
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        tag = site.ask("/path/static/style.css", headers).headers["ETag"]
        response = site.ask("/path/static/style.css", headers | {"If-None-Match": tag})
        assert (response.status, response.body) == (304, b"")
        assert not site.reached_the_app(response)


def test_many_ranges_of_a_static_file_are_no_502(site: Site) -> None:
    ranges = ",".join(f"{start}-{start}" for start in range(0, 1000, 2))
    response = site.ask("/path/static/style.css", {"Range": f"bytes={ranges}"})
    assert response.status in {200, 206}
    response = site.ask("/path/static/style.css", {"Range": "bytes=0-4"})
    assert (response.status, response.body) == (206, STYLE[:5])


def test_a_static_file_that_does_not_exist_is_the_apps_own_404(site: Site) -> None:
    for target in ("/path/static/nothing.css", "/path/static/", "/path/static"):
        response = site.ask(target)
        assert response.status == 404
        assert 'href="/path/static/style.css"' in response.text, "this is not the app's page"


@pytest.mark.parametrize("mount", ["/shop", "/shop/second"])
def test_an_app_and_its_blueprints_have_their_static_files_at_each_mount(
    crowd: Site, mount: str
) -> None:
    page = crowd.ask(f"{mount}/").text
    files = [unescape(url) for url in re.findall(r'(?:rel="stylesheet" href|src)="([^"]*)"', page)]
    assert files == [f"{mount}/static/shop.css", f"{mount}/basket/files/basket.svg"]
    for file in files:
        response = crowd.ask(file)
        assert response.status == 200, file
        assert not crowd.reached_the_app(response), f"the app had to serve {file}"


def test_each_app_has_its_own_static_files(crowd: Site) -> None:
    assert crowd.ask("/static/style.css").body == STYLE
    assert crowd.ask("/a/b/static/style.css").body == STYLE
    assert crowd.ask("/static/shop.css").status == 404
    assert crowd.ask("/shop/static/style.css").status == 404
    assert crowd.ask("/note/static/shop.css").status == 404


@pytest.mark.parametrize("file", [".hidden", ".git/config", "%2ehidden", "x/../.hidden"])
def test_a_hidden_file_in_a_static_folder_stays_hidden(crowd: Site, file: str) -> None:
    response = crowd.ask(f"/shop/static/{file}")
    assert response.status == 404
    assert not crowd.reached_the_app(response), "Flask would send it"


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
    response = site.ask(target)
    if response.status == 308:  # Flask redirects to one slash instead of two
        response = site.ask(response.headers["Location"].removeprefix(site.url))
    assert response.status == 404
