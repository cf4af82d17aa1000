"""Streams whose clients leave, and what must go on without a client."""

import http.client
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.responses.conftest import APPS
from tests.servers import HostSite, Serve, Site, other_lines, until

ENDED_BY_THE_GUARD = ["queue", "event", "timeout", "poll", "except"]
STUCK_IN_C = ["simple-queue", "socket", "select"]


def opened(site: Site, *paths: str) -> list[http.client.HTTPConnection]:
    """Clients that have read the first line of these streams."""
    clients = []
    for path in paths:
        client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
        client.request("GET", path)
        response = client.getresponse()
        assert response.status == 200
        assert response.readline() == b"begun\n"
        clients.append(client)
        client.response = response
    return clients


def leave(clients: list[http.client.HTTPConnection]) -> None:
    for client in clients:
        client.response.close()
        client.close()


def work_without_client(site: Site, folder: Path) -> None:
    """Begin a view, and leave."""
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    client.request("POST", "/x/work")
    until(lambda: (folder / "view").exists(), "the view")
    client.close()


@pytest.fixture
def streaming(serve: Serve, tmp_path: Path) -> Callable[..., HostSite]:
    def start(**knobs: int) -> HostSite:
        settings = {"WORKERS": 1, "THREADS": 16, "REQUEST_TIMEOUT": 60} | knobs
        return serve(
            "host",
            files=(APPS / "streaming.py",),
            MOUNTS="/x=streaming:app",
            SEEN=str(tmp_path),
            **settings,
        )

    return start


def test_a_stream_whose_client_has_left_is_ended_and_only_that(streaming, tmp_path: Path) -> None:
    site = streaming()
    worker = site.ask("/x/").text
    stays = opened(site, "/x/stream/queue", "/x/late")
    leave(
        opened(site, *(f"/x/stream/{way}?token=secret" for way in [*ENDED_BY_THE_GUARD, "empty"]))
    )

    # What has no client, but is no stream that lacks bytes, goes on.
    work_without_client(site, tmp_path)
    assert site.ask("/x/afterwards").text == "whole"
    assert site.ask("/x/poll").text == "nothing new"
    (tmp_path / "go").touch()
    until(lambda: (tmp_path / "view").read_text() == "done", "the view's end", 60)
    until(lambda: (tmp_path / "afterwards").exists(), "what comes behind the last byte", 60)
    assert stays[1].response.read() == b"late\n"

    def ended() -> dict[str, int]:
        return json.loads(site.ask("/x/happened").text)

    once = {
        f"{way} {what}": 1 for way in [*ENDED_BY_THE_GUARD, "empty"] for what in ("ended", "closed")
    }
    until(lambda: ended() == once, f"{once}", 60)
    for way in ENDED_BY_THE_GUARD:
        until(lambda way=way: f"GET /x/stream/{way} (id " in site.logs(), "a line in the log")
    logs = "\n".join(other_lines(site.logs()))
    assert logs.count("the client left, its stream is ended.") == len(ENDED_BY_THE_GUARD)
    assert "secret" not in logs
    assert "Traceback" not in logs
    assert "Error" not in logs
    assert site.ask("/x/").text == worker
    leave(stays)


def test_streams_that_cannot_be_ended_do_not_take_the_threads(streaming, tmp_path: Path) -> None:
    site = streaming(THREADS=len(STUCK_IN_C) + 1)
    worker = site.ask("/x/").text
    leave(opened(site, *(f"/x/stream/{way}" for way in STUCK_IN_C)))
    work_without_client(site, tmp_path)
    until(lambda: "threads wait in streams without a client." in site.logs(), "the reason", 60)
    # It finishes what it has begun, and only then is another one in its place.
    (tmp_path / "go").touch()
    assert until(lambda: site.ask("/x/").text, "a thread", 60) != worker
    assert (tmp_path / "view").read_text() == "done"


def test_a_stop_does_not_wait_for_streams_without_a_client(streaming) -> None:
    site = streaming(REQUEST_TIMEOUT=300)
    leave(opened(site, "/x/stream/socket", "/x/stream/queue", "/x/stream/socket"))
    site.signal(signal.SIGTERM)
    began = time.monotonic()
    site.wait(120)
    assert time.monotonic() - began < 60


def test_a_site_serves_again_when_all_threads_had_streams_without_a_client(each_site: Site) -> None:
    leave(opened(each_site, *["/x/events"] * 8))
    assert each_site.ask("/x/").text == "up"
