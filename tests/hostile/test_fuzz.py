"""Malformed raw requests: both servers survive all of them.

They are the same each time. `REQUESTS=100000` sends that many others.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.conftest import Serve
from tests.hostile.sizes import PROBE
from tests.hostile.wire import Wire, request
from tests.servers import HostSite

# What nginx has reason to say by itself: codings and versions that it does not know.
ITS_OWN = {501, 505}
PAINS = re.compile(
    rb"Traceback|segfault|DAMN|respawn|invalid uwsgi|invalid request block|max vec|"
    rb"\[(alert|crit|emerg)\]|exited on signal|too big"
)

noise = st.binary(max_size=40)
METHODS = [b"GET", b"POST", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"TRACE", b"get", b"M-SEARCH"]
# None of these reads the query: Werkzeug raises UnicodeDecodeError for one that is not UTF-8.
TARGETS = [
    b"/path/",
    b"/path/seen",
    b"/path/read",
    b"/path/unread",
    b"/path/fields",
    b"/path",
    b"/",
]
ENDINGS = [
    b"",
    b"",
    b"",
    b"..",
    b"/%2e%2e/",
    b"//",
    b"\\",
    b"%00",
    b"%2f",
    b"%",
    b"?",
    b"?a=b&%zz",
    b"#",
]
ENDINGS += [b";", b"\xff", b"x" * 3_000, b" ", b"?" + b"x" * 3_000]
VERSIONS = [b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b""]
NAMES = [b"Host", b"Content-Length", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Range"]
NAMES += [b"Connection", b"Cookie", b"Content-Type", b"Upgrade", b"X-Forwarded-For", b"Script-Name"]
NAMES += [b"X-Forwarded-Proto", b"If-Modified-Since", b"Accept-Encoding", b"X" * 3_000, b"a"]
VALUES = [
    b"0",
    b"5",
    b"5",
    b"-1",
    b"5, 5",
    b"9" * 30,
    b"chunked",
    b"gzip, chunked",
    b"100-continue",
]
VALUES += [b"localhost", b"close", b"keep-alive", b"bytes=0-0,-1,5-", b"application/json", b"h2c"]
VALUES += [b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded", b"v" * 6_000]
SEPARATORS = [b": "] * 12 + [b":", b" : ", b"", b":\t"]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"0\r\nX: y\r\n\r\n"]
BODIES += [b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n", b"x" * 20_000]
LINE_ENDS = [b"\r\n"] * 12 + [b"\n", b"\n", b"\r", b"\r\n "]


@st.composite
def raw_requests(draw: st.DrawFn) -> bytes:
    """A request as it should be, but for some of its parts; and at times some bytes changed."""
    random = draw(st.randoms(use_true_random=True))

    def some(parts: list[bytes]) -> bytes:
        return draw(noise) if random.random() < 0.02 else random.choice(parts)

    first = b" ".join([some(METHODS), some(TARGETS) + some(ENDINGS), some(VERSIONS)])
    lines = [] if random.random() < 0.05 else [b"Host: localhost"]
    for _ in range(random.choice([0, 1, 1, 2, 3, 6])):
        lines.append(some(NAMES) + some(SEPARATORS) + some(VALUES))
    end = random.choice(LINE_ENDS)
    raw = bytearray(end.join([first, *lines]) + end + end + some(BODIES))
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        raw[random.randrange(min(len(raw), 200))] = random.randrange(256)
    return bytes(raw)


@pytest.fixture(scope="module")
def fuzzed_site(shared_site: Serve) -> Iterator[HostSite]:
    """The probe, whose processes have to be the same at the end."""
    site = shared_site(
        "host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m", WORKERS=2
    )
    before = site.workers()
    yield site
    assert site.workers() == before, "a process died"
    said = [line for line in site.logs().encode().splitlines() if PAINS.search(line)]
    assert not said


LAST = request("/path/seen/last", b"Connection: close")


def survives(site: HostSite, raw: bytes) -> None:
    """Send it, and after it what would complete a half of a request."""
    with Wire(site.port, timeout=0.3) as wire:
        replies = wire.send(raw, b"\r\n\r\n", LAST).replies()
    statuses = Counter(reply.status for reply in replies)
    event(f"the first response is {replies[0].status if replies else 'none'}")
    assert not [s for s in statuses if s >= 500 and s not in ITS_OWN], statuses


def fuzz(requests: int):
    """A test of that many raw requests."""

    @settings(
        max_examples=requests,
        deadline=None,
        database=None,
        derandomize="REQUESTS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(raw=raw_requests())
    def test(fuzzed_site: HostSite, raw: bytes) -> None:
        survives(fuzzed_site, raw)

    return test


test_five_hundred_raw_requests_are_survived = fuzz(500)
test_twenty_thousand_raw_requests_are_survived = pytest.mark.slow(
    pytest.mark.timeout(1200)(fuzz(int(os.environ.get("REQUESTS", "20000"))))
)
