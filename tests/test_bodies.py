"""Bodies and headers of any size, in both directions: complete, or rejected with a clear status."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import Site

MIB = 1024 * 1024


def content(size: int) -> bytes:
    """Bytes that do not repeat every few kB, so that a piece that is missing is missed."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


def pieces(whole: bytes, size: int) -> Iterator[bytes]:
    """The same bytes, cut; httpx sends that as `Transfer-Encoding: chunked`."""
    return (whole[start : start + size] for start in range(0, len(whole), size))


def digest(whole: bytes) -> dict[str, object]:
    """The sample app's response to an upload of these bytes."""
    return {"size": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}


@pytest.mark.parametrize("size", [1, 100_000, 15 * MIB])
def test_a_chunked_upload_arrives_whole(site: Site, size: int) -> None:
    whole = content(size)
    with site.client() as client:
        response = client.post("/path/upload", content=pieces(whole, 70_000))
    assert "chunked" in response.request.headers["Transfer-Encoding"]
    assert response.json() == digest(whole)


def test_a_chunked_form_and_a_chunked_json_are_parsed(site: Site) -> None:
    for kind, body, part in (
        ("application/json", b'{"name": "Ada"}', {"json": {"name": "Ada"}}),
        ("application/x-www-form-urlencoded", b"name=Ada", {"form": {"name": ["Ada"]}}),
    ):
        with site.client() as client:
            headers = {"Content-Type": kind}
            seen = client.post("/path/inspect", content=pieces(body, 3), headers=headers).json()
        assert seen["body_length"] == len(body)
        assert part.items() <= seen.items()


@pytest.mark.parametrize("size", [0, 10_000, 65_536, 65_537, 15 * MIB])
def test_an_upload_arrives_whole(site: Site, size: int) -> None:
    whole = content(size)
    with site.client() as client:
        assert client.post("/path/upload", content=whole).json() == digest(whole)
        files = {"file": ("a name.bin", whole)}
        assert client.post("/path/upload", files=files).json() == digest(whole)


def test_a_body_as_large_as_allowed_is_taken(crowd: Site) -> None:
    whole = content(MIB)
    assert crowd.ask("/upload", method="POST", body=whole).json() == digest(whole)


def test_a_larger_body_is_413_and_never_reaches_python(crowd: Site) -> None:
    announced = crowd.ask("/upload", {"Content-Length": str(MIB + 1)}, "POST")
    headers = {"Transfer-Encoding": "chunked"}
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (MIB + 1, bytes(MIB + 1))
    chunked = crowd.ask("/upload", headers, "POST", body)
    for response in (announced, chunked):
        assert response.status == 413
        assert not crowd.reached_the_app(response)


@pytest.mark.parametrize("size", [10_000, 100_000, 900_000])
def test_a_body_that_the_app_does_not_read_is_never_a_502(crowd: Site, size: int) -> None:
    body = content(size)
    targets = ["/plain/missing", "/nowhere"] * 50
    with ThreadPoolExecutor(8) as pool:
        responses = pool.map(lambda target: crowd.ask(target, method="POST", body=body), targets)
        statuses = Counter(response.status for response in responses)
    assert statuses == {404: len(targets)}


# --- Headers ---


def test_no_size_of_headers_is_a_502(site: Site) -> None:
    for size in (1_000, 4_000, 6_500):
        response = site.ask("/path/inspect", {"Cookie": f"a={'x' * size}"})
        assert response.status == 200, f"{size} bytes"
    response = site.ask("/path/inspect", [(f"X-{number}", "x" * 3_000) for number in range(4)])
    assert response.status == 200, "12 kB in several headers"
    for size in (9_000, 33_000, 66_000, 200_000):
        response = site.ask("/path/inspect", {"Cookie": f"a={'x' * size}"})
        assert response.status in {400, 414, 431}, f"{size} bytes"


def test_many_headers_and_many_arguments_arrive(site: Site) -> None:
    many = [(f"X-Number-{number}", str(number)) for number in range(300)]
    seen = site.ask("/path/inspect", many).json()["headers"]
    assert [pair for pair in seen if pair[0].startswith("X-Number-")] == [list(h) for h in many]
    query = "&".join(f"a{number}={number}" for number in range(700))
    assert len(site.ask(f"/path/inspect?{query}").json()["args"]) == 700


def test_a_large_header_of_an_answer_arrives(crowd: Site) -> None:
    assert crowd.ask("/plain/large-header").headers["X-Large"] == "x" * 30_000


# --- Responses ---


def test_a_large_download_arrives_whole(crowd: Site) -> None:
    with crowd.client() as client, client.stream("GET", "/plain/download") as response:
        received = hashlib.sha256()
        for piece in response.iter_bytes():
            received.update(piece)
    sent = hashlib.sha256(b"".join(bytes([number]) * MIB for number in range(40)))
    assert received.digest() == sent.digest()


@pytest.mark.slow
def test_a_large_download_survives_a_client_that_pauses(crowd: Site) -> None:
    with crowd.client() as client, client.stream("GET", "/plain/download") as response:
        received = response.iter_bytes(MIB)
        assert len(next(received)) == MIB
        time.sleep(6)  # longer than uWSGI waits by default, and than REQUEST_TIMEOUT here
        assert sum(map(len, received)) == 39 * MIB


def test_a_stream_arrives_piece_by_piece(site: Site) -> None:
    path = "/path/events?count=2&interval=4"
    with site.client() as client, client.stream("GET", path) as response:
        lines = (line for line in response.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        came = time.monotonic()
        rest = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert [first["number"], *(event["number"] for event in rest)] == [1, 2]
    assert time.monotonic() - came > 0.5, "the first event was held back until the second came"


def test_a_stream_may_last_longer_than_a_request(crowd: Site) -> None:
    response = crowd.ask("/events?count=4&interval=2")  # 6 seconds; the limit is 5
    assert response.text.count("data: ") == 4


def test_answers_on_one_connection_do_not_mix(site: Site) -> None:
    with site.client() as client:
        for number in range(50):
            seen = client.post(f"/path/inspect/{number}", content=content(number * 100)).json()
            assert (seen["rest"], seen["body_length"]) == (str(number), number * 100)
