"""A body arrives whole or is refused by name, however it is sent and whatever the app does."""

import hashlib
import json
import random
import socket
import time

import pytest

from tests.conftest import Serve
from tests.hostile.sizes import PROBE
from tests.hostile.wire import ClosedError, Wire, chunked_post, post, request
from tests.servers import Site, until

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


@pytest.mark.parametrize("length", [100_000, LIMIT])
def test_a_client_that_waits_for_100_continue_is_told_to_go_on(site: Site, length: int) -> None:
    with Wire(site.port) as wire:
        expect = b"Expect: 100-continue"
        wire.send(request("/path/read", b"Content-Length: %d" % length, expect, method=b"POST"))
        assert wire.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert json.loads(wire.send(content(length)).reply().body)["length"] == length


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
        log = [line for line in site.logs().splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in log if "?truncated" in line]
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
    host_site: Site, data: bytes
) -> None:
    with Wire(host_site.port) as wire:
        start = time.monotonic()
        wire.send(data)
        # nginx closes without a word, and says 408 in its log.
        with pytest.raises(ClosedError):
            wire.reply()
        assert 5 < time.monotonic() - start < 25
    last = host_site.logs().splitlines()[-1]
    assert (json.loads(last)["status"], json.loads(last)["app_seconds"]) == (408, "")


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


def test_no_limit_is_taken_for_another_ones(serve: Serve) -> None:
    """MAX_BODY_SIZE is one knob for both servers."""
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="70k")
    with Wire(site.port) as wire:
        assert wire.send(post("/path/read", content(70 * 1024))).reply().status == 200
        assert wire.send(post("/path/read", content(70 * 1024 + 1))).reply().status == 413
