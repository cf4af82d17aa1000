"""A body arrives whole or is rejected with a clear status, however it is sent."""

import hashlib
import json
import random
import socket
import time

import pytest

from tests.conftest import Serve
from tests.hostile.sizes import PROBE
from tests.hostile.wire import ClosedError, Wire, chunked_post, post, request
from tests.servers import Site, access_log, until

LIMIT = 1024 * 1024
SIZES = [0, 1, 8_191, 16_384, 65_535, 65_536, 65_537, 300_000, LIMIT - 1, LIMIT]
TOO_LARGE = [LIMIT + 1, 2 * LIMIT, 20 * LIMIT]


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


KINDS = pytest.mark.parametrize("make", [post, chunked_post])


@KINDS
@pytest.mark.parametrize("size", SIZES)
def test_a_body_up_to_the_limit_arrives_whole_and_the_connection_goes_on(
    site: Site, make, size: int
) -> None:
    body = content(size)
    with Wire(site.port) as wire:
        for _ in range(2):
            reply = wire.send(make("/path/read", body)).reply()
            assert reply.status == 200
            digest = hashlib.sha256(body).hexdigest()
            assert json.loads(reply.body) == {"length": size, "sha256": digest}


@KINDS
@pytest.mark.parametrize("size", TOO_LARGE)
def test_a_body_above_the_limit_is_refused_even_while_it_is_being_sent(
    site: Site, make, size: int
) -> None:
    with Wire(site.port) as wire:
        reply = wire.send(make("/path/read", content(size))).reply()
    assert reply.status == 413


@KINDS
@pytest.mark.parametrize("size", SIZES)
def test_the_answer_of_an_app_that_does_not_read_the_body_always_arrives(
    site: Site, make, size: int
) -> None:
    data = make("/path/unread", content(size))
    with Wire(site.port) as wire:
        for _ in range(20):
            reply = wire.send(data).reply()
            assert (reply.status, json.loads(reply.body)) == (401, {"unread": True})


@pytest.mark.parametrize(
    ("target", "status"),
    [("/elsewhere", 404), ("/path", 308), ("/path/nothing", 404), ("/path/static/no.css", 405)],
)
def test_a_body_for_nobody_leaves_the_connection_usable(
    site: Site, target: str, status: int
) -> None:
    with Wire(site.port) as wire:
        assert wire.send(post(target, content(100_000))).reply().status == status
        assert wire.send(request("/path/seen")).reply().status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/path/seen", b"X: " + b"x" * 8_000), 431),
        (request("/path/seen?" + "x" * 8_000), 414),
        (post("/path/read", content(LIMIT + 1)), 413),
        (request("/path/\0"), 400),
        (request("/path/seen", b"Content-Length: x"), 400),
    ],
    ids=["headers", "address", "body", "a byte", "a length"],
)
def test_a_refusal_after_which_nobody_can_say_where_the_next_request_begins_closes(
    site: Site, data: bytes, status: int
) -> None:
    with Wire(site.port) as wire:
        reply = wire.send(data).reply()
        assert (reply.status, reply.headers["Connection"]) == (status, "close")
        with pytest.raises(ClosedError):
            wire.send(request("/path/seen")).reply()


def test_after_any_other_refusal_the_connection_goes_on(serve: Serve) -> None:
    limits = {"CLIENT_REQUESTS_PER_SECOND": 1, "SERVER_NAMES": "localhost 127.0.0.1"}
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", **limits)
    body = content(100_000)
    with Wire(site.port) as wire:
        for send in (post, chunked_post):
            strange = send("/path/read", body).replace(b"Host: localhost", b"Host: unknown")
            assert wire.send(strange).reply().status == 421
            statuses: set[int] = set()

            def both(data: bytes = send("/path/unread", body), seen: set[int] = statuses) -> bool:
                seen.add(wire.send(data).reply().status)
                return len(seen) == 2

            until(both, "a response of the app, and one beyond the rate limit")
            assert statuses == {401, 429}
        assert wire.send(request("/elsewhere")).reply().status == 404


@pytest.mark.parametrize("length", [100_000, LIMIT])
def test_a_client_that_waits_for_100_continue_is_told_to_go_on(site: Site, length: int) -> None:
    with Wire(site.port) as wire:
        expect = b"Expect: 100-continue"
        wire.send(request("/path/read", b"Content-Length: %d" % length, expect, method=b"POST"))
        assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert json.loads(wire.send(content(length)).reply().body)["length"] == length


@pytest.mark.parametrize("target", ["/path/unread", "/path/read"])
def test_100_continue_is_kept_to_in_chunks_and_whoever_reads_the_body_or_not(
    site: Site, target: str
) -> None:
    expect = b"Expect: 100-continue"
    for length in (b"Transfer-Encoding: chunked", b"Content-Length: 5"):
        body = b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in length else b"hello"
        with Wire(site.port) as wire:
            for _ in range(2):  # the second shows that nothing of the first is left
                wire.send(request(target, length, expect, method=b"POST"))
                assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                reply = wire.send(body).reply()
                assert reply.status == (401 if "unread" in target else 200)
                assert b"hello" not in reply.body


def test_a_client_that_waits_for_100_continue_with_too_much_is_told_so_at_once(site: Site) -> None:
    head = request(
        "/path/read", b"Content-Length: %d" % (LIMIT + 1), b"Expect: 100-continue", method=b"POST"
    )
    with Wire(site.port) as wire:
        assert wire.socket.sendall(head) is None
        assert wire.socket.recv(12) == b"HTTP/1.1 413"


def test_a_body_that_ends_too_early_never_reaches_the_app(site: Site) -> None:
    whole = post("/path/read?truncated", content(100_000))
    chunks = chunked_post("/path/read?truncated", content(100_000))
    for data in (whole[:-1], whole[:50_000], chunks[:-5], chunks[:50_000]):
        with Wire(site.port) as wire:
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            assert [reply.status for reply in wire.replies()] in ([], [400])

    def lines() -> list[dict[str, str]]:
        found = [line for line in access_log(site.logs()) if "truncated" in line["uri"]]
        return found if len(found) == 4 else []

    for line in until(lines, "four lines in the access log"):
        assert (line["status"], line["app_seconds"]) == (400, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        post("/path/read?stalled", content(100_000))[:50_000],
        chunked_post("/path/read?stalled", content(100_000))[:50_000],
        request("/path/seen")[:-2],
    ],
    ids=["body", "chunks", "headers"],
)
def test_a_request_that_stalls_is_ended_in_time_and_without_the_app(
    site: Site, data: bytes
) -> None:
    def ended() -> list[dict[str, str]]:
        return [line for line in access_log(site.logs("nginx")) if line["status"] == 408]

    before = len(ended())
    with Wire(site.port) as wire:
        start = time.monotonic()
        wire.send(data)
        # nginx closes without a word, and says 408 in its log.
        with pytest.raises(ClosedError):
            wire.reply()
        assert 5 < time.monotonic() - start < 50
    last = until(lambda: ended()[before:], "a line in the access log")[-1]
    assert last["app_seconds"] == ""


def test_thousands_of_fields_are_refused_and_the_app_goes_on(site: Site) -> None:
    def form(fields: int) -> bytes:
        part = b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n'
        body = b"".join(part % number for number in range(fields)) + b"--x--\r\n"
        return post("/path/fields", body, b"Content-Type: multipart/form-data; boundary=x")

    with Wire(site.port) as wire:
        assert json.loads(wire.send(form(900)).reply().body) == {"fields": 900}
        assert wire.send(form(15_000)).reply().status == 413
        assert json.loads(wire.send(form(900)).reply().body) == {"fields": 900}
    with Wire(site.port) as wire:
        assert wire.send(form(30_000)).reply().status == 413


def test_a_hundred_thousand_fields_without_parts_all_arrive_and_the_app_goes_on(site: Site) -> None:
    """Werkzeug counts parts, not these: see "What remains" in docs/limits.md."""
    kind = b"Content-Type: application/x-www-form-urlencoded"
    body = b"&".join(b"%d=" % number for number in range(100_000))
    with Wire(site.port) as wire:
        for _ in range(3):
            reply = wire.send(post("/path/fields", body, kind)).reply()
            assert json.loads(reply.body) == {"fields": 100_000}


def test_no_limit_is_taken_for_another_ones(serve: Serve) -> None:
    """MAX_BODY_SIZE is one knob for both servers."""
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="70k")
    with Wire(site.port) as wire:
        assert wire.send(post("/path/read", content(70 * 1024))).reply().status == 200
        assert wire.send(post("/path/read", content(70 * 1024 + 1))).reply().status == 413
