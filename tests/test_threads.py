"""Concurrent requests: each has a thread, and gets its own response."""

import http.client
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import Site


def test_as_many_requests_as_there_are_threads_are_answered_at_once(site: Site) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(site.ask, ["/path/wait?seconds=5"] * 16))
    seconds = time.monotonic() - started
    assert {response.status for response in responses} == {200}
    # One worker after another, or one thread in each, would take twenty seconds and more.
    assert seconds < 19, f"16 requests of five seconds each took {seconds:.1f} seconds"


def test_every_worker_takes_part(site: Site) -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            # What occupies a worker for a moment leaves the next request to another one.
            pages = pool.map(site.ask, ["/path/wait?seconds=0.2", "/path/"] * 16)
            found = (re.search(r'id="worker">(\d+)<', page.text) for page in pages)
            if len({match[1] for match in found if match}) == 4:
                return
    pytest.fail("there are 4 workers, and fewer responded")


def ask_for_myself(site: Site, connection: int, requests: int) -> list[str]:
    """Send requests that differ in every part, on one connection; return what is not mine."""
    wrong = []
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    for number in range(requests):
        me = f"{connection}-{number}"
        headers = {
            "Host": f"host-{me}.example",
            "Cookie": f"me=cookie-{me}",
            "Content-Type": "application/json",
        }
        body = json.dumps({"me": f"body-{me}"})
        client.request("POST", f"/path/inspect/path-{me}?me=query-{me}", body, headers)
        response = client.getresponse()
        text = response.read()
        if response.status != 200:
            wrong.append(f"{me}: {response.status}")
            continue
        seen = json.loads(text)
        mine = {
            "rest": f"path-{me}",
            "args": {"me": [f"query-{me}"]},
            "json": {"me": f"body-{me}"},
            "external_url": f"http://host-{me}.example/path/",
        }
        sent = dict(seen["headers"])
        if (
            not mine.items() <= seen.items()
            or sent["Cookie"] != headers["Cookie"]
            or sent["X-Request-Id"] != response.headers["X-Request-ID"]
        ):
            wrong.append(f"{me}: {seen}")
    client.close()
    return wrong


@pytest.mark.slow
def test_ten_thousand_requests_on_32_connections_get_their_own_answers(site: Site) -> None:
    with ThreadPoolExecutor(32) as pool:
        shares = [10_000 // 32 + (number < 10_000 % 32) for number in range(32)]
        wrong = pool.map(lambda number: ask_for_myself(site, number, shares[number]), range(32))
        assert [line for lines in wrong for line in lines] == []
