"""A request whose client has left while it waited is not given to the app."""

import socket
from collections import Counter

from tests.servers import until
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
        return site.site.logs().count(f'"status":{status}')

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
