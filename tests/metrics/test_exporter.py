"""Metrics for Prometheus: right with several workers, through recycling, rollouts and crashes."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import trustme
from cryptography import x509

from tests.metrics.conftest import Measured, measured_site
from tests.servers import HostSite, Serve, Site, free_port, until

# Requests that the counters are compared after. For docs/operating.md: REQUESTS=20000.
REQUESTS = int(os.environ.get("REQUESTS", "3000"))
KINDS = [("GET", "/", 200), ("POST", "/orders", 201), ("GET", "/status/418", 418)]


def load(site: Site, number: int, pause: Callable[[int], None]) -> Counter[tuple[str, str]]:
    """Send that many requests to /path/second, and count them by method and status."""
    found: Counter[tuple[str, str]] = Counter()

    def client(first: int) -> None:
        with site.client() as session:
            for index in range(first, number, 8):
                method, path, status = KINDS[index % len(KINDS)]
                response = session.request(method, f"/path/second{path}")
                assert response.status_code == status
                found[method, str(status)] += 1
                if first == 0:
                    pause(index)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(client, range(8)))
    return found


class Watch:
    """Scrapes all the time, and notes counters that go back."""

    def __init__(self, measured: Measured) -> None:
        self.wrong: list[str] = []
        self.scrapes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, args=[measured])

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self, measured: Measured) -> None:
        seen: dict[tuple, float] = {}
        while not self._over.is_set():
            for family in measured.families():
                # The apps' own are those of the live instance.
                if family.type not in {"counter", "histogram"} or family.name == "orders":
                    continue
                for sample in family.samples:
                    key = sample.name, *sorted(sample.labels.items())
                    if sample.value < seen.get(key, 0):
                        self.wrong.append(f"{key}: {seen[key]} then {sample.value}")
                    seen[key] = sample.value
            self.scrapes += 1
            self._over.wait(0.2)


def test_counters_equal_what_was_sent_through_recycling_and_a_rollout_and_never_go_back(
    serve: Serve,
) -> None:
    measured = measured_site(serve, WORKERS=2)
    site = measured.site
    until(lambda: (site.folder / ".run" / "control").exists(), "serve to take commands")
    changes: list[threading.Thread] = []
    status: list[int] = []

    def change(index: int) -> None:
        step = index * 4 // REQUESTS
        if len(changes) < min(step, 3):
            what = (recycle, roll_out, recycle)[len(changes)]
            changes.append(threading.Thread(target=what))
            changes[-1].start()

    def recycle() -> None:
        worker = next(p for p in site.processes() if is_worker(p))
        worker.send_signal(signal.SIGTERM)
        psutil.wait_procs([worker], timeout=60)

    def roll_out() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "deploy", "rollout"],
            cwd=site.folder,
            env=site.environment,
            capture_output=True,
            check=False,
            timeout=300,
        )
        status.append(done.returncode)

    with Watch(measured) as watch:
        sent = load(site, REQUESTS, change)
        for thread in changes:
            thread.join()
        for (method, code), number in sent.items():
            measured.until(
                number,
                "nginx_http_requests_total",
                mount="/path/second",
                method=method,
                status=code,
            )
    assert (len(changes), status) == (3, [0])
    assert watch.wrong == []
    assert watch.scrapes > 5
    duration = "nginx_http_request_duration_seconds_count"
    assert measured.value(duration, mount="/path/second") == sum(sent.values())
    assert measured.value("nginx_log_lines_lost_total") == 0
    assert measured.value("uwsgi_live_instance_info", name="app-2") == 1


def is_worker(process: psutil.Process) -> bool:
    """Whether it is a worker of uWSGI: its parent is a uWSGI, too."""
    try:
        return process.name() == "uwsgi" and process.parent().name() == "uwsgi"
    except psutil.NoSuchProcess:
        return False


def backlog(path: Path) -> tuple[int, int]:
    """The listen backlog of a unix socket and its limit, as `ss -xl` shows them (sock_diag(7))."""
    question = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 1 << 10, 0, 0x11, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(question), 20, 0x301, 0, 0) + question)
        while True:
            data = kernel.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                message, data = data[32:length], data[-(-length // 4) * 4 :]
                assert kind != 3, f"nothing listens at {path}"
                found = {}
                while len(message) >= 4:
                    size, name = struct.unpack_from("=HH", message)
                    found[name] = message[4:size]
                    message = message[-(-size // 4) * 4 :]
                if found.get(0, b"").rstrip(b"\0") == os.fsencode(path):
                    return struct.unpack("=II", found[4])


def test_the_backlog_is_what_ss_shows(serve: Serve) -> None:
    # A long timeout, by which the limit is not lowered to less than what waits.
    measured = measured_site(serve, WORKERS=1, THREADS=1, REQUEST_TIMEOUT=600)
    path = measured.site.folder / ".run" / "sockets" / "app-1.sock"
    name = "uwsgi_socket_queue_length"
    with ThreadPoolExecutor(6) as clients:
        with measured.in_flight():
            measured.until(1, "uwsgi_worker_busy_cores")
            requests = [clients.submit(measured.site.ask, "/path/second/") for _ in range(6)]
            until(lambda: backlog(path)[0] == 6, "six that wait")
            measured.until(6, name, name="sock")
            assert measured.value("uwsgi_listen_queue_length") == 6
            assert measured.value(name, name="health") == 0
            until(
                lambda: (
                    measured.value("uwsgi_socket_max_queue_length", name="sock") == backlog(path)[1]
                ),
                "the limit",
            )
        assert {request.result().status for request in requests} == {200}
    measured.until(0, name, name="sock")

    def waited() -> float:
        at_once = measured.value("uwsgi_queue_duration_seconds_bucket", le="0.025")
        return measured.value("uwsgi_queue_duration_seconds_count") - at_once

    until(lambda: waited() >= 6, "six that have waited")
    assert measured.value("uwsgi_queue_duration_seconds_sum") > 6 * 0.025


def test_a_request_past_its_deadline_is_counted_and_so_is_the_replacement_of_its_worker(
    serve: Serve,
) -> None:
    measured = measured_site(serve, WORKERS=1, REQUEST_TIMEOUT=1)
    assert measured.site.ask("/path/second/wait/long").status == 504
    measured.until(1, "nginx_http_requests_total", mount="/path/second", status="504")
    measured.until(1, "uwsgi_worker_replacements_total", reason="timeout")
    measured.until(2, "uwsgi_worker_respawn_count_total")


def test_mounts_statuses_methods_and_bytes_are_told_apart(measured: Measured) -> None:
    site = measured.site
    name = "nginx_http_requests_total"
    before = measured.value("nginx_http_sent_bytes_total", mount="/path/second")
    assert site.ask("/path/second/status/404").status == 404
    assert site.ask("/p%61th/second/status/404").status == 404
    assert site.ask("/path/second", method="BREW").status == 308
    assert site.ask("/pathology", method="POST").status == 404
    measured.until(2, name, mount="/path/second", status="404")
    measured.until(1, name, mount="/path/second", method="other", status="308")
    measured.until(1, name, mount="none", status="404", method="POST")
    assert measured.value("nginx_http_sent_bytes_total", mount="/path/second") > before + 500


def test_an_apps_own_metrics_are_added_up_over_its_workers(measured: Measured) -> None:
    before = measured.value("orders_total", kind="book")
    with ThreadPoolExecutor(8) as clients:
        done = clients.map(
            lambda _: measured.site.ask("/path/second/orders", method="POST").status, range(40)
        )
        assert set(done) == {201}
    assert measured.value("orders_total", kind="book") == before + 40


def test_a_worker_that_has_ended_is_no_live_process_of_the_apps_metrics(serve: Serve) -> None:
    measured = measured_site(serve, WORKERS=1)
    first = int(measured.site.ask("/path/second/").text)
    measured.until(1, "alive")
    os.kill(first, signal.SIGTERM)
    until(lambda: int(measured.site.ask("/path/second/").text) != first, "another worker")
    # Of the new one, not of both.
    measured.until(2, "uwsgi_worker_respawn_count_total")
    measured.until(1, "alive")


def test_open_streams_are_counted(measured: Measured) -> None:
    name = "uwsgi_worker_streaming_cores"
    with measured.in_flight():  # no stream
        measured.until(1, "uwsgi_worker_busy_cores")
        with measured.in_flight(view="stream"):
            measured.until(1, name)
            assert measured.value("uwsgi_worker_busy_cores") == 2
        measured.until(0, name)


def test_connections_of_clients_are_counted_also_while_they_send_nothing(
    measured: Measured,
) -> None:
    def waiting() -> float:
        return measured.value("nginx_connections_waiting")

    with measured.site.client() as first, measured.site.client() as second:
        for client in (first, second):
            assert client.get("/path/second/").status_code == 200
        until(lambda: waiting() >= 2, "two that wait")
        assert measured.value("nginx_connections_active") >= 2
    measured.until(0, "nginx_connections_waiting")


def test_a_process_of_the_procfile_that_ends_is_counted_and_is_up_again(
    measured: Measured,
) -> None:
    up, ends = "procfile_process_up", "procfile_process_ends_total"
    measured.until(1, up, process="sleeper.1")
    before = measured.value(ends, process="sleeper.1")
    # Its shell has become the command.
    sleeper = next(p for p in measured.site.processes() if p.cmdline() == ["sleep", "100000"])
    sleeper.kill()
    measured.until(before + 1, ends, process="sleeper.1")
    measured.until(1, up, process="sleeper.1")


def test_requests_are_counted_while_the_exporter_is_started_again(serve: Serve) -> None:
    measured = measured_site(serve)
    exporter = next(p for p in measured.site.processes() if "metrics" in p.cmdline())
    exporter.kill()
    exporter.wait(60)
    for _ in range(20):
        assert measured.site.ask("/path/second/status/403").status == 403
    until(measured._is_up, "the exporter")
    measured.until(20, "nginx_http_requests_total", mount="/path/second", status="403")
    assert measured.value("nginx_log_lines_lost_total") == 0


def test_a_site_serves_without_metrics_if_their_port_is_taken(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site = serve("host", METRICS_PORT=port)
        sentence = f"deploy: METRICS_PORT is {port} on METRICS_ADDRESS 127.0.0.1, which cannot be"
        until(lambda: sentence in site.logs(), "the error")
        assert site.logs().count(sentence) == 1
        for _ in range(20):
            assert site.ask("/path/").status == 200


def test_no_exporter_runs_and_nginx_counts_nothing_unless_a_port_is_set(
    serve: Serve, shared_site: Serve
) -> None:
    site: HostSite = shared_site("host", WORKERS=4, THREADS=4)
    assert not [p for p in site.processes() if "metrics" in p.cmdline()]
    assert not (site.folder / ".run" / "nginx" / "servers" / "metrics.conf").exists()
    assert not (site.folder / ".run" / "metrics").exists()


def test_the_end_of_the_certificate_is_a_metric(serve: Serve, tmp_path: Path) -> None:
    end = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    issued = trustme.CA().issue_cert("localhost", not_after=end)
    (tmp_path / "certificate.pem").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem.bytes())
    certificate = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    measured = measured_site(
        serve,
        TLS_CERTIFICATE=tmp_path / "certificate.pem",
        TLS_KEY=tmp_path / "key.pem",
        HTTPS_PORT=free_port(),
    )
    expected = certificate.not_valid_after_utc.timestamp()
    measured.until(expected, "tls_certificate_expiry_timestamp_seconds")
