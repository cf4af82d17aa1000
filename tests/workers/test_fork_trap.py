"""What an app holds when it is loaded, and forked workers would get wrong."""

import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.servers import HostSite, Serve
from tests.workers.lab import APPS, Lab


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except OSError:  # it ended
            pass


@pytest.fixture
def peer() -> Iterator[int]:
    """The port of an echo server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


def wrong_answers(site: HostSite, tmp_path) -> int:
    """How many of 400 requests, 8 at a time, do not get their own response."""
    lab = Lab(site, tmp_path / "count")
    asked = [
        (word := f"word{n}", lab._clients.submit(site.ask, f"/path/{word}")) for n in range(400)
    ]
    wrong = sum(response.result().text != word for word, response in asked)
    lab.close()
    return wrong


def test_an_app_that_connects_when_it_is_loaded_gets_its_own_answers(
    serve: Serve, peer: int, tmp_path
) -> None:
    site = serve(
        "host",
        files=[APPS / "connected.py"],
        MOUNTS="/path=connected:app",
        PEER=peer,
        WORKERS=4,
        THREADS=4,
    )
    assert f"a connection to 127.0.0.1:{peer} open" in site.logs()
    assert "each worker loads them for itself" in site.logs()
    assert wrong_answers(site, tmp_path) == 0


def test_load_apps_once_shares_the_connection_and_mixes_up_answers(
    serve: Serve, peer: int, tmp_path
) -> None:
    site = serve(
        "host",
        files=[APPS / "connected.py"],
        MOUNTS="/path=connected:app",
        PEER=peer,
        WORKERS=4,
        THREADS=4,
        LOAD_APPS="once",
        REQUEST_TIMEOUT=5,
    )
    assert "with LOAD_APPS=once, that is not fork-safe" in site.logs()
    assert wrong_answers(site, tmp_path) > 0


@pytest.mark.parametrize(("load_apps", "runs"), [("auto", True), ("once", False)])
def test_a_thread_that_is_started_when_the_app_is_loaded(
    serve: Serve, load_apps: str, runs: bool
) -> None:
    site = serve(
        "host",
        files=[APPS / "threaded.py"],
        MOUNTS="/path=threaded:app",
        WORKERS=1,
        LOAD_APPS=load_apps,
    )
    assert "a thread running (counter, in threaded.count)" in site.logs()
    first = site.ask("/path/").text
    changes = any(site.ask("/path/").text != first for _ in range(200))
    assert changes is runs


def test_the_sample_app_is_loaded_once(site) -> None:
    assert "Loading the apps left" not in site.logs()
    assert "preforking" in site.logs()
