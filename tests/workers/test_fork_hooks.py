"""The hooks of ``os.register_at_fork()`` run in each worker, and what rests on them works."""

import gzip
import os
import re
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest

from tests.servers import Serve, until
from tests.workers.lab import APPS


class Receiver(ThreadingHTTPServer):
    """Takes reports on a port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Report)
        self.text = ""

    def senders(self, kind: str) -> set[str]:
        """The processes from which a report of that kind has come."""
        return set(re.findall(rf"{kind} of (\d+)", self.text))


class _Report(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decompress = {"gzip": gzip.decompress, "br": brotli.decompress}.get(
            self.headers["Content-Encoding"], bytes
        )
        self.server.text += decompress(body).decode()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        serving = threading.Thread(target=receiver.serve_forever)
        serving.start()
        yield receiver
        receiver.shutdown()
        serving.join()


def test_sentry_and_opentelemetry_report_from_each_worker_and_do_not_warn(
    serve: Serve, receiver: Receiver
) -> None:
    site = serve(
        "host",
        files=[APPS / "reports.py"],
        MOUNTS="/path=reports:app",
        WORKERS=3,
        THREADS=2,
        LOAD_APPS="once",
        RECEIVER=f"127.0.0.1:{receiver.server_port}",
        PYTHONWARNINGS="default",
    )
    workers = set()

    def reported_by(count: int) -> bool:
        if (response := site.ask("/path/")).status == 200:
            workers.add(response.text)
        reports = [receiver.senders("message"), receiver.senders("span")]
        return len(workers) >= count and all(found >= workers for found in reports)

    assert until(lambda: reported_by(3), "reports from all three", 60)
    # And from one that was born later.
    os.kill(int(workers.pop()), signal.SIGKILL)
    workers.clear()
    assert until(lambda: reported_by(3) and len(receiver.senders("span")) > 3, "a new one", 60)
    assert not re.search("uwsgi.*fork.hooks|threads.*uwsgi", site.logs(), re.IGNORECASE)


def test_hooks_run_once_in_each_worker_also_in_one_that_replaces_another(
    kind: str, shared_site: Serve
) -> None:
    site = shared_site(
        kind, files=(APPS / "children.py",), MOUNTS="/path=children:app", WORKERS=1, THREADS=2
    )
    forked = site.ask("/path/forked").json()
    assert forked["hooks"] == [forked["pid"]]
