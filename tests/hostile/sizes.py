"""The size matrix: headers of requests and responses from 1 kB to 64 kB, and bodies around 1 MB.

`python -m tests.hostile.sizes` writes it as the table of docs/limits.md, ours beside the usual
recipe's.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.hostile.recipe import Recipe
from tests.hostile.wire import ClosedError, Reply, Wire, chunked_post, post, request
from tests.servers import HostSite

PROBE = Path(__file__).parent / "apps" / "probe.py"
KB = 1024
# Both sides of all limits: steps of 1 kB, and one byte more.
SIZES = [size for kb in range(1, 64) for size in (kb * KB, kb * KB + 1)] + [64 * KB - 200]
BODIES = [0, KB, 60 * KB, 64 * KB, 100 * KB, 500 * KB, 1024 * KB, 1024 * KB + 1, 2048 * KB]
COUNTS = [1, 10, 50, 90, 100, 110, *range(150, 1500, 50), *range(1500, 6501, 250)]

Check = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Dimension:
    """One row of the matrix.

    Args:
        name: what grows.
        steps: how large it gets: bytes, or a count.
        unit: what a step counts.
        make: from a step, the request, and what the app has to have seen of it.
        times: how often each step is tried, where it is a matter of luck.
    """

    name: str
    steps: list[int]
    unit: str
    make: Callable[[int], tuple[bytes, Check]]
    times: int = 1


def _one_header(size: int) -> tuple[bytes, Check]:
    value = "v" * size
    head = request("/path/seen", b"X-Large: " + value.encode())
    return head, lambda seen: seen["HTTP_X_LARGE"] == value


def _cookies(size: int) -> tuple[bytes, Check]:
    value = "; ".join(f"c{n}={'v' * 200}" for n in range(size // 200 + 1))[:size]
    head = request("/path/seen", b"Cookie: " + value.encode())
    return head, lambda seen: seen["HTTP_COOKIE"] == value.rstrip()


def _several_headers(size: int) -> tuple[bytes, Check]:
    lines = [b"X-%d: " % n + b"v" * 500 for n in range(size // 512)]
    return request("/path/seen", *lines), lambda seen: _count(seen, "HTTP_X_") == len(lines)


def _path(size: int) -> tuple[bytes, Check]:
    path = "/path/seen/" + "p" * size
    return request(
        path
    ), lambda seen: seen["REQUEST_URI"] == path and path.endswith(seen["PATH_INFO"])


def _query(size: int) -> tuple[bytes, Check]:
    query = ("a=1&b=2&" * size)[:size]
    return request(f"/path/seen?{query}"), lambda seen: seen["QUERY_STRING"] == query


def _percent_encoded(size: int) -> tuple[bytes, Check]:
    path = "/path/seen/" + "%C3%A9" * (size // 6)
    decoded = unquote(path, "latin-1").removeprefix("/path")
    return request(path), lambda seen: (seen["REQUEST_URI"], seen["PATH_INFO"]) == (path, decoded)


def _header_name(size: int) -> tuple[bytes, Check]:
    name = b"X-" + b"n" * size
    key = "HTTP_" + name.decode().upper().replace("-", "_")
    return request("/path/seen", name + b": v"), lambda seen: seen[key] == "v"


def _content_type(size: int) -> tuple[bytes, Check]:
    value = "text/plain; x=" + "v" * size
    head = request("/path/seen", b"Content-Type: " + value.encode())
    return head, lambda seen: seen["CONTENT_TYPE"] == value


def _short_headers(count: int) -> tuple[bytes, Check]:
    lines = [b"X%d:1" % n for n in range(count)]
    return request("/path/seen", *lines), lambda seen: _count(seen, "HTTP_X") >= count


def _shortest_headers(count: int) -> tuple[bytes, Check]:
    # What takes the most room in uWSGI's packet for what it takes in nginx's buffers.
    head = b"GET /path/seen HTTP/1.1\nHost: localhost\n" + b"a:\n" * count + b"\n"
    return head, lambda seen: "HTTP_A" in seen


def _parameters(count: int) -> tuple[bytes, Check]:
    query = "&".join(["a=1"] * count)
    return request(f"/path/seen?{query}"), lambda seen: seen["QUERY_STRING"] == query


def _count(seen: Mapping[str, Any], prefix: str) -> int:
    # X-Request-ID, X-Request-Start, X-Forwarded-... and X-Real-IP are nginx's own.
    ours = ("HTTP_X_REQUEST_", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_")
    return sum(name.startswith(prefix) and not name.startswith(ours) for name in seen)


def _set_cookie(size: int) -> tuple[bytes, int]:
    return request(f"/path/response?cookies=1&size={size}"), size


def _set_cookies(size: int) -> tuple[bytes, int]:
    return request(f"/path/response?cookies={size // KB}&size=1000"), size // KB * 1000


def _body(size: int) -> tuple[bytes, Check]:
    return post("/path/read", bytes(size)), lambda response: response["length"] == size


def _chunked_body(size: int) -> tuple[bytes, Check]:
    return chunked_post("/path/read", bytes(size)), lambda response: response["length"] == size


def _unread_body(size: int) -> tuple[bytes, Check]:
    return post("/path/unread/200", bytes(size)), lambda response: response["unread"]


DIMENSIONS = [
    Dimension("one header", SIZES, "B", _one_header),
    Dimension("one header's name", SIZES, "B", _header_name),
    Dimension("headers of 0.5 kB", SIZES, "B", _several_headers),
    Dimension("cookies", SIZES, "B", _cookies),
    Dimension("content type", SIZES, "B", _content_type),
    Dimension("path", SIZES, "B", _path),
    Dimension("path, percent-encoded", SIZES, "B", _percent_encoded),
    Dimension("query", SIZES, "B", _query),
    Dimension("query's parameters", COUNTS, "parameters", _parameters),
    Dimension("short headers", COUNTS, "headers", _short_headers),
    Dimension("shortest headers", COUNTS, "headers", _shortest_headers),
    Dimension("`Set-Cookie`, one", SIZES, "B", _set_cookie),
    Dimension("`Set-Cookie`, of 1 kB", SIZES, "B", _set_cookies),
    Dimension("body", BODIES, "B", _body),
    Dimension("body, chunked", BODIES, "B", _chunked_body),
    Dimension("body that the app does not read", BODIES, "B", _unread_body, times=20),
]


def outcome(port: int, dimension: Dimension, step: int) -> str:
    """Send one request: "whole", "lost", a status, or "no response"."""
    head, expected = dimension.make(step)
    try:
        with Wire(port) as wire:
            reply = wire.send(head).reply()
    except (ClosedError, TimeoutError):
        return "no response"
    if reply.status != 200:
        return str(reply.status)
    return "whole" if _is_whole(reply, expected) else "lost"


def _is_whole(reply: Reply, expected: Check | int) -> bool:
    if isinstance(expected, int):
        values = [text.partition("=")[2] for text in reply.headers.get_all("Set-Cookie", [])]
        return sum(value.count("v") for value in values) == expected
    try:
        return expected(json.loads(reply.body))
    except KeyError:
        return False


def walk(port: int, dimension: Dimension) -> list[tuple[int, str]]:
    """The outcome of each step, or the first one that is not "whole"."""
    walked = []
    for step in dimension.steps:
        outcomes = [outcome(port, dimension, step) for _ in range(dimension.times)]
        walked.append((step, next((o for o in outcomes if o != "whole"), "whole")))
    return walked


def summary(walked: list[tuple[int, str]], unit: str) -> str:
    """A walk in words: up to which step it goes how."""
    parts = []
    for said, steps in groupby(walked, key=lambda pair: pair[1]):
        last = [step for step, _ in steps][-1]
        text = f"{last / KB:.0f} kB" if unit == "B" else f"{last:,}"
        mark = said if said == "whole" or said.startswith("4") else f"**{said}**"
        parts.append(f"{mark} to {text}")
    return ", ".join(parts)


def table(ours: int, usual: int) -> Iterator[str]:
    """The matrix as lines of Markdown.

    Args:
        ours: the port of this bundle, with the probe at /path.
        usual: the port of the usual recipe with the same.
    """
    yield "| what grows | this bundle | the usual recipe |"
    yield "|---|---|---|"
    for dimension in DIMENSIONS:
        cells = [summary(walk(port, dimension), dimension.unit) for port in (ours, usual)]
        yield f"| {dimension.name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    with (
        # The usual recipe has nginx's default limit for bodies.
        HostSite(files=[PROBE], MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m") as site,
        Recipe(PROBE) as recipe,
    ):
        sys.stdout.writelines(f"{line}\n" for line in table(site.port, recipe.port))
