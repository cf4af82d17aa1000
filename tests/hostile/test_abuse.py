"""Availability under abuse: other clients are served."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.hostile import abuse
from tests.hostile.sizes import PROBE
from tests.hostile.wire import ClosedError, Wire, request
from tests.servers import PROJECT, Site, until

SECONDS = 20
# For clients that ask for more than their share; the normal one stays below.
SHARE = {"CLIENT_REQUESTS_AT_ONCE": 8, "CLIENT_REQUESTS_PER_SECOND": 100}


def ask(port: int) -> float | str:
    """One normal request on a connection of its own: its seconds, or what went wrong."""
    start = time.monotonic()
    try:
        with Wire(port, timeout=30) as wire:
            reply = wire.send(request("/path/seen", b"Connection: close")).reply()
    except (ClosedError, OSError) as error:
        return repr(error)
    return time.monotonic() - start if reply.status == 200 else str(reply.status)


def normal_client(port: int, running: subprocess.Popen[str]) -> list[float | str]:
    """Some 40 requests a second, for as long as the abuse is running."""
    results = []
    while running.poll() is None:
        results.append(ask(port))
        time.sleep(0.02)
    return results


@pytest.fixture
def large_static(tmp_path: Path) -> Path:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "large.txt").write_bytes(bytes(100_000))
    return tmp_path / "static"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "knobs", "felt"),
    [
        # What the abuser has to have felt, or the test would have shown nothing.
        (abuse.slow_headers, {}, {"connections": 3_000}),
        (abuse.slow_bodies, {}, {"connections": 900}),
        (abuse.slow_readers, {}, {"200": 150}),
        (abuse.idle_connections, {}, {"connections": 9_000}),
        (abuse.a_flood, {}, {"200": 1_000}),
        (abuse.a_flood, SHARE, {"429": 1_000, "200": 1_500}),
        (abuse.a_flood_of_slow_requests, SHARE, {"429": 1_000, "200": 8}),
        (abuse.thousands_of_fields, {}, {"413": 50}),
        (abuse.many_ranges, {}, {"200": 1_000}),
    ],
    ids=lambda value: getattr(value, "__name__", "limited" if value == SHARE else ""),
)
def test_a_normal_client_is_served_while_there_are(
    serve: Serve, large_static: Path, kind, knobs, felt
) -> None:
    site = serve("host", files=(PROBE, large_static), MOUNTS="/path=probe:app", **knobs)
    command = [sys.executable, "-m", "tests.hostile.abuse", kind.__name__, str(site.port)]
    command += [str(SECONDS), json.dumps(felt)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as running:
        results = normal_client(site.port, running)
        counted = json.loads(running.stdout.read())
    seconds = sorted(result for result in results if isinstance(result, float))
    failures = [result for result in results if isinstance(result, str)]
    p99 = seconds[int(len(seconds) * 0.99)]
    print(
        f"\n{kind.__name__}: {len(seconds)} of {len(results)}, p99 {p99 * 1000:.0f} ms, slowest"
        f" {seconds[-1] * 1000:.0f} ms; the abuser: {counted}"
    )
    assert len(failures) <= len(results) / 1000, failures[:5]
    assert p99 < 2
    felt_too_little = [name for name, least in felt.items() if counted.get(name, 0) < least]
    assert not felt_too_little, f"{counted} is less than {felt}"


def test_who_asks_for_more_than_a_share_is_told_when_to_come_again(serve: Serve) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", CLIENT_REQUESTS_AT_ONCE=2)
    until(lambda: "Serving" in site.logs(), "the end of its own first request")
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(site.ask, ["/path/wait?seconds=4"] * 4))
    assert sorted(response.status for response in responses) == [200, 200, 429, 429]
    rejected = max(responses, key=lambda response: response.status)
    assert int(rejected.headers["Retry-After"]) > 0
    assert "Too many requests" in rejected.text
    assert site.ask("/path/seen").status == 200
    assert site.ask("/elsewhere").status == 404


def test_the_rate_of_one_address_is_not_the_rate_of_another(serve: Serve) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", CLIENT_REQUESTS_PER_SECOND=1)

    def status(source: str) -> int:
        with Wire(site.port, source=source) as wire:
            return wire.send(request("/path/seen")).reply().status

    statuses = [status("127.0.0.2")]
    until(
        lambda: statuses.append(status("127.0.0.2")) or statuses.count(429) >= 10,
        "ten that are too many in a second",
    )
    assert statuses[0] == 200
    assert status("127.0.0.3") == 200
    until(lambda: status("127.0.0.2") == 200, "the next second")


def test_the_apps_own_429_passes_unchanged(host_site: Site) -> None:
    response = host_site.ask("/path/teapot?status=429")
    assert (response.status, response.text) == (429, "short and stout")
    assert "Retry-After" not in response.headers


def test_more_than_sixteen_ranges_get_the_whole_file(serve: Serve, large_static: Path) -> None:
    site = serve("host", files=(PROBE, large_static), MOUNTS="/path=probe:app")

    def ranges(count: int) -> int:
        spans = ",".join(f"{2 * n}-{2 * n}" for n in range(count))
        return site.ask("/path/static/large.txt", {"Range": f"bytes={spans}"}).status

    assert [ranges(count) for count in (1, 16, 17, 600)] == [206, 206, 200, 200]


@pytest.mark.slow
def test_load_above_the_listen_backlog_is_shed(serve: Serve) -> None:
    site = serve("host", files=(PROBE,), MOUNTS="/path=probe:app", WORKERS=2, THREADS=16)
    wires = [Wire(site.port, source=f"127.0.0.{n % 200 + 2}") for n in range(1_300)]
    try:
        for wire in wires:
            wire.send(request("/path/wait?seconds=0.3"))
        replies = [wire.reply() for wire in wires]
    finally:
        for wire in wires:
            wire.__exit__()
    statuses = [reply.status for reply in replies]
    # 1000 are accepted, 32 at a time. A few more fit in meanwhile.
    assert set(statuses) == {200, 503}
    assert 1_000 <= statuses.count(200) < 1_300
    shed = next(reply for reply in replies if reply.status == 503)
    assert int(shed.headers["Retry-After"]) > 0
