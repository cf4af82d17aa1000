"""One request is one request: nothing in its body or its framing becomes another one."""

import pytest

from tests.hostile.wire import Wire, request
from tests.servers import Site

SMUGGLED = b"GET /path/seen/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def posted(*headers: bytes, body: bytes = b"") -> bytes:
    return request("/path/read", *headers, method=b"POST") + body


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        pytest.param(
            posted(
                b"Content-Length: 6",
                b"Transfer-Encoding: chunked",
                body=b"0\r\n\r\n" + SMUGGLED,
            ),
            {400},
            id="CL and TE",
        ),
        pytest.param(
            posted(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"5c\r\n" + SMUGGLED),
            {400},
            id="TE and CL",
        ),
        pytest.param(
            posted(b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
            {400},
            id="two lengths",
        ),
        pytest.param(
            posted(b"Content-Length: 0, %d" % len(SMUGGLED), body=SMUGGLED), {400}, id="a list"
        ),
        pytest.param(posted(b"Content-Length: +0", body=SMUGGLED), {400}, id="a sign"),
        pytest.param(posted(b"Content-Length: -1", body=SMUGGLED), {400}, id="negative"),
        pytest.param(posted(b"Content-Length: 0x0", body=SMUGGLED), {400}, id="hexadecimal"),
        pytest.param(posted(b"Content-Length: 9" + b"9" * 30, body=SMUGGLED), {400}, id="overflow"),
        pytest.param(
            posted(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SMUGGLED),
            {501},
            id="chunked is not last",
        ),
        pytest.param(
            posted(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + SMUGGLED),
            {501},
            id="another coding",
        ),
        pytest.param(
            posted(
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: x",
                body=b"0\r\n\r\n" + SMUGGLED,
            ),
            {400, 501},
            id="two codings",
        ),
        pytest.param(
            posted(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + SMUGGLED),
            {400, 501},
            id="a hidden tab",
        ),
        pytest.param(
            posted(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
            {400},
            id="space before colon",
        ),
        pytest.param(
            posted(b"Transfer-Encoding: chunked", body=b"x\r\n" + SMUGGLED), {400}, id="no number"
        ),
        pytest.param(
            posted(b"Transfer-Encoding: chunked", body=b"-1\r\n" + SMUGGLED), {400}, id="minus one"
        ),
        pytest.param(
            posted(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\n" + SMUGGLED),
            {400, 413},
            id="a chunk too long to count",
        ),
        pytest.param(
            posted(b"Transfer-Encoding: chunked", body=b"1\r\nab\r\n0\r\n\r\n" + SMUGGLED),
            {400},
            id="a chunk longer than it says",
        ),
        pytest.param(
            b"POST /path/read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
            {400},
            id="chunked in HTTP 1.0",
        ),
        pytest.param(request("/path/seen", b"Host: other"), {400}, id="two hosts"),
        pytest.param(request("/path/seen", b"X: a\0b"), {400}, id="NUL in a header"),
        pytest.param(b"GET /path/seen HTTP/1.1\r\n\r\n", {400}, id="no host"),
        pytest.param(b"GET  /path/seen  HTTP/9.9\r\n\r\n", {400, 505}, id="no such version"),
    ],
)
def test_a_request_with_an_ambiguous_end_is_refused_and_nothing_comes_after_it(
    site: Site, data: bytes, statuses: set[int]
) -> None:
    with Wire(site.port) as wire:  # the server closes it
        replies = wire.send(data).replies()
    assert [reply.status for reply in replies if reply.status not in statuses] == []
    assert len(replies) == 1
    site.access(replies[0].headers["X-Request-ID"])  # the log has got as far
    assert "smuggled" not in site.logs()


@pytest.mark.parametrize(
    "data",
    [
        posted(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED),
        posted(b"Transfer-Encoding: chunked", body=b"%x\r\n" % len(SMUGGLED) + SMUGGLED)
        + b"\r\n0\r\n\r\n",
        posted(b"Transfer-Encoding: CHUNKED", body=b"5;a=b\r\nhello\r\n0\r\nX: trailer\r\n\r\n"),
        request("/path/seen", b"X-Folded: a\r\n b"),
        # A bare line feed ends a line for nginx, as RFC 9112 (2.2) allows, and for it alone: what
        # uWSGI gets has lengths, not lines.
        posted(b"Content-Length: 5\nX-Smuggled: 1", body=b"hello"),
        b"GET /path/seen HTTP/1.1\nHost: localhost\n\n",
    ],
    ids=["a request as body", "as chunk", "trailers", "folded line", "bare LF", "all bare LF"],
)
def test_what_looks_like_another_request_stays_what_it_is(site: Site, data: bytes) -> None:
    with Wire(site.port) as wire:
        last = request("/path/seen/last", b"Connection: close")
        reply, *others = wire.send(data, last).replies()
    assert len(others) <= 1
    site.access(reply.headers["X-Request-ID"])  # the log has got as far
    with Wire(site.port) as wire:
        assert [wire.send(data, request("/path/seen/next")).reply().status] != [502]
    assert "/path/seen/smuggled" not in site.logs()


def test_no_spelling_of_a_header_passes_for_one_that_nginx_sets(site: Site) -> None:
    spellings = ["X_Forwarded_Proto", "X-Forwarded_Proto", "x.forwarded.proto", "X_Request_Id"]
    spellings += ["Script_Name", "HTTP_HOST", "REMOTE_ADDR", "Transfer_Encoding"]
    spoofed = dict.fromkeys(spellings, "spoofed")
    seen = site.ask("/path/seen", spoofed).json()
    assert "spoofed" not in seen.values()
