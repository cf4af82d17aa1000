"""A request whose client has left while it waited, or is about to, is not given to the app."""

import socket
import struct
import time
from collections import Counter

from tests.servers import access_log, until
from tests.workers.lab import results

LEAVING = 8


def test_the_view_does_not_run_for_a_client_that_left_the_backlog(lab) -> None:
    site = lab(WORKERS=1, THREADS=2, REQUEST_TIMEOUT=60)
    busy = site.at_once(2, "/count?gate=1", "POST")
    until(lambda: site.counted == 2, "both threads at work")

    clients = [socket.create_connection(("127.0.0.1", site.site.port)) for _ in range(LEAVING)]
    for client in clients:
        client.sendall(b"POST /path/count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")

    def seen(status: int) -> int:
        return sum(line["status"] == status for line in access_log(site.site.logs()))

    # The backlog may be found too long meanwhile, and what makes the site live may wait, too.
    until(lambda: site.connections() - 2 + seen(503) >= LEAVING, "a backlog")
    for client in clients:
        client.close()
    until(lambda: seen(499) + seen(503) >= LEAVING, "nginx to notice")

    site.open_the_gate()
    assert results(busy) == Counter({200: 2})
    assert until(lambda: site.status() == 200, "a response")
    assert site.counted == 2
    assert until(lambda: "before the app ran" in site.site.logs(), "a word in the log")


def test_the_view_does_not_run_for_a_request_that_has_waited_for_most_of_its_time(lab) -> None:
    site = lab(WORKERS=1, THREADS=2, REQUEST_TIMEOUT=600)

    def response(waited: float) -> bytes:
        """What uWSGI makes of a request that nginx has had for so many seconds."""
        names = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/path/count",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "QUEUE_START": f"{time.time() - waited:.3f}",
        }
        texts = [text.encode() for pair in names.items() for text in pair]
        body = b"".join(struct.pack("<H", len(text)) + text for text in texts)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(site.site.folder / ".run" / "sockets" / "app-1.sock"))
            connection.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
            return connection.makefile("rb").read()

    late = response(waited=500)
    assert late.startswith(b"HTTP/1.1 503 ")
    assert b"X-Accel-Redirect: @overloaded\r\n" in late
    assert site.counted == 0
    assert response(waited=300).startswith(b"HTTP/1.1 200 ")
    assert site.counted == 1
    assert until(lambda: "waited for too long" in site.site.logs(), "a word in the log")

    # nginx says the rest.
    for method in ("GET", "POST"):
        told = site.site.ask("/path/overloaded", method=method)
        assert told.status == 503
        assert told.headers["Retry-After"] == "5"
        assert b"<html" in told.body
