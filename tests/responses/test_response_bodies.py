"""Response bodies of every kind: whole, failed before the first chunk, and broken off."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.responses.apps import bodies
from tests.servers import Site, until

# Werkzeug's server breaks these off, since they are bytes-like and not bytes.
BYTES_LIKE = {"bytearray", "memoryview", "array"}
WHOLE = {
    "list": (200, b"onetwo"),
    "generator": (200, b"onetwo"),
    "iterator": (200, b"onetwo"),
    "empty": (200, b""),
    "empty-chunks": (200, b""),
    "bytearray": (200, b"bytes"),
    "memoryview": (200, b"bytes"),
    "array": (200, b"bytes"),
    "write": (200, b"onetwo"),
    "write-and-body": (200, b"onetwo"),
    "large": (200, b"x" * 5_000_000),
    "length": (200, b"12345"),
    "no-content": (204, b""),
    "not-modified": (304, b""),
    "replaced": (503, b"replaced"),
    "close-fails": (200, b"whole"),
    "file/gzip": (200, b"0123456789abcdef" * 10_000),
    "file/pipe": (200, b"1\n2\n3\n4\n5\n"),
    "file/bytesio": (200, b"in memory"),
    "file/tempfile": (200, b"temporary"),
    "file/spooled": (200, b"temporary"),
    "file/file-position": (200, (bytes(range(256)) * 65_536)[10:]),
    "file/decrypting": (200, b"secret"),
}
# Werkzeug's server has sent the status line when it finds out about most of these.
FAILED = {
    **{"raises": "broke off", "raises-after-start": "broke off", "fails-first": "broke off"},
    **{"fails-first-with-length": "broke off", "iter-fails": "in __iter__"},
    **{"exits-first": "SystemExit", "close-fails-first": "in close", "none": "'NoneType'"},
    **{"number": "'int'", "twice": "Headers already set", "no-start": "before start_response"},
    **{"no-start-empty": "before start_response", "text": "must write bytes, not str"},
    **{"text-chunk": "must write bytes, not str", "number-chunk": "must write bytes, not int"},
    **{"none-chunk": "must write bytes, not NoneType", "list-chunk": "must write bytes, not list"},
    **{"write-text": "must write bytes, not str", "no-status": "a number and a reason"},
    **{"bad-header": "header value must be a string", "large-header": "unable to add header"},
    "large-headers": "unable to add header",
}
BROKEN = {
    **{"fails": b"begun", "fails-later": b"begunslow", "fails-with-length": b"begun"},
    **{"too-short": b"begun", "exits": b"begun", "text-later": b"begun"},
    **{"replaced-too-late": b"begun", "write-fails": b"begun", "fails-large": b"x" * 2_000_000},
    "streamed?fail": b"begun",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a request; `whole` says whether the client can take the body for complete."""

    status: int
    body: bytes
    whole: bool = True
    cached: str | None = None


def get(
    port: int, path: str, method: str = "GET", sent: bytes | None = None, **headers: str
) -> Outcome:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, sent, headers)
        response = connection.getresponse()
        try:
            body, whole = response.read(), True
        except http.client.IncompleteRead as error:
            body, whole = error.partial, False
        return Outcome(response.status, body, whole, response.headers["X-Cache"])
    finally:
        connection.close()


@pytest.fixture(scope="session")
def reference() -> Iterator[int]:
    """The port of Werkzeug's own server with the same app."""

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *args: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, bodies.application, True, request_handler=Quiet)
    server.log = lambda *args: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_of_any_kind_is_whole(host_site: Site, reference: int, name: str) -> None:
    outcome = get(host_site.port, f"/x/{name}")
    assert (outcome.status, outcome.body, outcome.whole) == (*WHOLE[name], True)
    if name not in BYTES_LIKE:
        theirs = get(reference, f"/{name}")
        assert (theirs.status, theirs.body, theirs.whole) == (*WHOLE[name], True)


@pytest.mark.parametrize("name", FAILED)
def test_a_response_that_fails_before_its_first_chunk_is_a_500_in_the_log(
    host_site: Site, name: str
) -> None:
    before = host_site.logs().count(FAILED[name])
    for _ in range(2):  # the second one would be a cache hit
        outcome = get(host_site.port, f"/x/{name}")
        assert outcome == Outcome(500, b"Internal Server Error")
    until(lambda: host_site.logs().count(FAILED[name]) >= before + 2, "the reason in the log")


@pytest.mark.parametrize("name", BROKEN)
def test_a_response_that_breaks_off_is_incomplete_and_never_cached(
    host_site: Site, reference: int, name: str
) -> None:
    for _ in range(2):
        outcome = get(host_site.port, f"/x/{name}")
        assert (outcome.status, outcome.whole) == (200, False)
        assert outcome.cached != "hit"
        assert BROKEN[name].startswith(outcome.body)
    if name != "exits":  # there, it ends the thread
        assert get(reference, f"/{name}").whole is False


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("size", [0, 1, 2, 5_000, 200_000, 2_000_000])
def test_the_size_of_a_request_makes_no_difference(host_site: Site, method: str, size: int) -> None:
    whole = get(host_site.port, "/x/list", method, b"x" * size)
    assert (whole.body, whole.whole) == (b"onetwo", True)
    assert get(host_site.port, "/x/fails", method, b"x" * size).whole is False


def test_a_worker_that_is_killed_breaks_its_responses_off(host_site: Site) -> None:
    outcome = get(host_site.port, "/x/killed")
    assert outcome.whole is False
    assert until(lambda: get(host_site.port, "/x/list").status == 200, "a new worker")
    assert get(host_site.port, "/x/killed").cached != "hit"
    assert until(lambda: get(host_site.port, "/x/list").status == 200, "a new worker")


def test_parts_of_a_file_are_as_cheap_as_the_file(host_site: Site, reference: int) -> None:
    """Each is read in blocks, not line by line: 65,536 of them in this file took seconds."""
    size = 256 * 65_536
    content = bytes(range(256)) * 65_536
    for first, last in ((1, size - 1), (10, size - 11), (size - 300, size - 1), (0, 0)):
        outcome = get(host_site.port, "/x/stored", Range=f"bytes={first}-{last}")
        assert (outcome.status, outcome.whole) == (206, True)
        assert outcome.body == content[first : last + 1]
    for value in ("bytes=0-", "bytes=-5", "bytes=0-1,5-6", "bytes=99999999-", "lines=1-2"):
        ours = get(host_site.port, "/x/stored", Range=value)
        assert ours == get(reference, "/stored", Range=value)

    def seconds(**headers: str) -> float:
        times = []
        for _ in range(5):
            began = time.monotonic()
            assert len(get(host_site.port, "/x/stored", **headers).body) >= size - 1
            times.append(time.monotonic() - began)
        return min(times)

    assert seconds(Range="bytes=1-") < 4 * seconds() + 0.5


def test_what_a_response_holds_is_closed_and_torn_down_as_often_as_elsewhere(
    host_site: Site, reference: int
) -> None:
    closed = ["iterator", "fails", "fails-first", "close-fails"]
    names = [*(f"{path} closed" for path in closed), "rows ended"]
    names += ["/stored torn down", "/streamed torn down"]

    class Counts:
        def __init__(self, port: int, mount: str) -> None:
            self._at = port, mount
            self._before = self._now()
            for path in [*closed, "stored", "streamed"]:
                get(port, f"{mount}/{path}", Cookie="session=1")  # past the cache

        def _now(self) -> Counter[str]:
            port, mount = self._at
            return Counter(json.loads(get(port, f"{mount}/happened", Cookie="session=1").body))

        def __call__(self) -> dict[str, int]:
            now = self._now()
            return {name: now[name] - self._before[name] for name in names}

    ours, theirs = Counts(host_site.port, "/x"), Counts(reference, "")
    # Closed after the last byte was sent.
    until(lambda: min(theirs().values()) and ours() == theirs(), "the same counts")
    assert set(list(ours().values())[:5]) == {1}


def test_in_containers_it_is_the_same(each_site: Site) -> None:
    seen = {
        path: get(each_site.port, f"/x/{path}")
        for path in (
            "file/gzip",
            "file/pipe",
            "bytearray",
            "fails-first",
            "fails",
            "fails-large",
            "killed",
        )
    }
    assert seen["file/gzip"].body == WHOLE["file/gzip"][1]
    assert seen["file/pipe"].body == WHOLE["file/pipe"][1]
    assert seen["bytearray"].body == b"bytes"
    assert seen["fails-first"] == Outcome(500, b"Internal Server Error")
    assert [seen[name].whole for name in ("fails", "fails-large", "killed")] == [False] * 3
    until(lambda: get(each_site.port, "/x/list").status == 200, "a new worker", 60)
    assert get(each_site.port, "/x/fails").cached != "hit"
