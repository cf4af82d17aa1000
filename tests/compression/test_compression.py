"""COMPRESS_RESPONSES: which responses nginx compresses, and what else changes in them."""

import gzip
import http.client
import zlib
from pathlib import Path

import pytest

from tests.compression.apps.texts import TEXT
from tests.servers import Response, Serve, Site

APPS = Path(__file__).parent / "apps"
GZIP = ("Accept-Encoding", "gzip, deflate, br, zstd")
KEY = {"SECRET_KEY": "a key for these tests"}


def started(shared_site: Serve, kind: str = "host", **knobs: str) -> Site:
    files, mounts = (APPS / "texts.py",), "/=texts:app"
    return shared_site(kind, files=files, MOUNTS=mounts, WORKERS=1, THREADS=8, **KEY, **knobs)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the app sees, too."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture
def site(shared_site: Serve, gate: Path) -> Site:
    return started(shared_site, GATE=str(gate))


def is_compressed(response: Response) -> bool:
    return response.headers["Content-Encoding"] == "gzip"


def text_of(response: Response) -> str:
    return (gzip.decompress(response.body) if is_compressed(response) else response.body).decode()


# --- What is compressed ---


def test_text_is_compressed_for_those_who_accept_it(shared_site: Serve, kind: str) -> None:
    site = started(shared_site, kind)
    response = site.ask("/text", [GZIP])
    assert is_compressed(response)
    assert text_of(response) == TEXT
    assert len(response.body) < len(TEXT) / 5
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Content-Length"] is None
    for headers in ([], [("Accept-Encoding", "br")], [("Accept-Encoding", "gzip;q=0, identity")]):
        response = site.ask("/text", headers)
        assert not is_compressed(response)
        assert (response.body.decode(), response.headers["Vary"]) == (TEXT, "Accept-Encoding")


@pytest.mark.parametrize(
    ("kind_of_text", "compressed"),
    [
        ("text/html; charset=utf-8", True),
        ("text/html; charset=latin-1", True),
        ("text/plain", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("text/event-stream", False),
        ("image/png", False),
        ("application/octet-stream", False),
        ("application/zip", False),
    ],
)
def test_only_text_is_compressed(site: Site, kind_of_text: str, compressed: bool) -> None:
    target = f"/text?Content-Type={kind_of_text.replace(';', '%3B').replace(' ', '')}"
    response = site.ask(target.replace("+", "%2B"), [GZIP])
    assert is_compressed(response) == compressed
    assert text_of(response) == TEXT


@pytest.mark.parametrize(
    ("target", "compressed"),
    [
        ("/text?size=1024", True),
        ("/text?size=1023", False),
        ("/text?status=404", True),
        ("/text?status=403", True),
        ("/text?status=500", False),
        ("/text?status=204&size=0", False),
        ("/text?Content-Encoding=identity", False),
    ],
)
def test_size_status_and_the_app_decide(site: Site, target: str, compressed: bool) -> None:
    assert is_compressed(site.ask(target, [GZIP])) == compressed


def test_what_the_app_compressed_itself_is_passed_on(site: Site) -> None:
    response = site.ask("/packed", [GZIP])
    assert gzip.decompress(response.body).decode() == TEXT


def test_a_response_to_post_is_compressed_too(site: Site) -> None:
    assert is_compressed(site.ask("/text", [GZIP], method="POST", body=b"x=1"))


def test_a_proxy_in_front_gets_it_compressed_too(site: Site) -> None:
    assert is_compressed(site.ask("/text", [GZIP, ("Via", "1.1 cdn")]))


# --- BREACH: no compression where a response may have a secret of a user in it ---

CREDENTIALS = [
    ("Cookie", "session=secret"),
    ("Authorization", "Bearer secret"),
    ("Authorization", "Basic bWU6c2VjcmV0"),
]


@pytest.mark.parametrize("header", CREDENTIALS, ids=lambda header: " ".join(header))
def test_a_request_with_credentials_is_not_answered_compressed(
    site: Site, header: tuple[str, str]
) -> None:
    for method in ("GET", "POST"):
        response = site.ask("/text", [GZIP, header], method=method)
        assert not is_compressed(response)
        assert response.body.decode() == TEXT


def test_an_identity_of_single_sign_on_is_a_credential(shared_site: Serve) -> None:
    knobs = {"IDENTITY_HEADERS": "X-Forwarded-User", "TRUSTED_PROXIES": "127.0.0.1"}
    site = started(shared_site, **knobs)
    assert not is_compressed(site.ask("/text", [GZIP, ("X-Forwarded-User", "me")]))
    assert is_compressed(site.ask("/text", [GZIP]))


def test_the_browser_that_gets_a_cookie_gets_nothing_compressed_from_then_on(site: Site) -> None:
    with site.client(headers=dict([GZIP])) as client:
        first, second = client.get("/login"), client.get("/login")
    assert first.text == second.text == TEXT
    assert "Content-Encoding" in first.headers, "no request with this secret precedes it"
    assert "Content-Encoding" not in second.headers


@pytest.mark.parametrize("header", CREDENTIALS[:2], ids=lambda header: " ".join(header))
def test_all_compresses_for_signed_in_users_too(
    shared_site: Serve, header: tuple[str, str]
) -> None:
    site = started(shared_site, COMPRESS_RESPONSES="all")
    assert is_compressed(site.ask("/text", [GZIP, header]))


def test_off_compresses_nothing(shared_site: Serve) -> None:
    response = started(shared_site, COMPRESS_RESPONSES="off").ask("/text", [GZIP])
    assert not is_compressed(response)
    assert response.headers["Vary"] is None


# --- ETags, HEAD, ranges, the cache ---


def test_an_etag_is_weak_when_compressed_and_revalidates(site: Site) -> None:
    compressed, plain = site.ask("/tag", [GZIP]), site.ask("/tag")
    assert (compressed.headers["ETag"], plain.headers["ETag"]) == ('W/"abc"', '"abc"')
    for tag in ('W/"abc"', '"abc"'):
        response = site.ask("/tag", [GZIP, ("If-None-Match", tag)])
        assert (response.status, response.body) == (304, b"")


@pytest.mark.parametrize("headers", [[], [GZIP]], ids=["plain", "gzip"])
def test_head_has_the_headers_of_get(site: Site, headers: list[tuple[str, str]]) -> None:
    names = ("Content-Encoding", "Content-Length", "Content-Type", "ETag", "Vary")
    get, head = (site.ask("/tag", headers, method=method) for method in ("GET", "HEAD"))
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert head.body == b""


def test_a_range_is_of_the_text_itself(site: Site) -> None:
    response = site.ask("/tag", [GZIP, ("Range", "bytes=4-20")])
    assert (response.status, response.body.decode()) == (206, TEXT[4:21])
    # A client cannot ask for a part of the compressed response.
    assert "bytes" not in site.ask("/tag", [GZIP]).headers.get("Accept-Ranges", "")


def test_the_cache_has_one_response_for_both_encodings(site: Site) -> None:
    first = site.ask("/public", [GZIP])
    assert (is_compressed(first), first.headers["X-Cache"]) == (True, "miss")
    plain, again = site.ask("/public"), site.ask("/public", [GZIP])
    assert (is_compressed(plain), is_compressed(again)) == (False, True)
    assert plain.headers["X-Cache"] == again.headers["X-Cache"] == "hit"
    assert text_of(first) == text_of(plain) == text_of(again)
    part = site.ask("/public", [GZIP, ("Range", "bytes=0-9")])
    assert (part.status, part.body) == (206, plain.body[:10])


# --- Streams, and responses that break off ---


def test_a_stream_is_compressed_chunk_by_chunk(site: Site, gate: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    try:
        connection.request("GET", "/stream", headers=dict([GZIP]))
        response = connection.getresponse()
        assert response.headers["Content-Encoding"] == "gzip"
        unpacked = zlib.decompressobj(wbits=31)
        seen = ""
        while seen != "first\n":  # the second one does not exist yet
            seen += unpacked.decompress(response.read1()).decode()
        (gate / "open").touch()
        assert seen + unpacked.decompress(response.read()).decode() == "first\nsecond\n"
    finally:
        connection.close()


@pytest.mark.parametrize("target", ["/broken", "/broken?length=1"])
def test_a_response_that_breaks_off_is_incomplete(site: Site, target: str) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        site.ask(target, [GZIP])
