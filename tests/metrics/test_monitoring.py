"""The Compose profile `monitoring`: alerts and the dashboard, in the real Prometheus."""

import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.metrics.conftest import APP, Measured
from tests.servers import PROJECT, ComposeSite, free_port, until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

MONITORING = PROJECT / "deploy" / "monitoring"
ALERTS = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text())
QUERIES = [
    target["expr"].replace("$__rate_interval", "1m")
    for panel in json.loads((MONITORING / "grafana.json").read_text())["panels"]
    for target in panel["targets"]
]
# What a site without TLS has no sample of.
ABSENT = "certificate"

REQUESTS = 'nginx_http_requests_total{mount="/shop",method="GET",status="%s"}'
QUEUE = 'uwsgi_socket_%s_length{name="%s",proto="uwsgi"}'
STARTS = 'uwsgi_worker_respawn_count_total{worker_id="1"}'
LIVE_SINCE = "uwsgi_live_since_seconds"
# Seconds between two samples; the samples, in the notation of `promtool test rules`; and the alerts
# that fire, by the second.
RULES: list[tuple[int, dict[str, str], dict[tuple[int, str], bool]]] = [
    (
        5,
        {'up{job="site"}': "1x60", "uwsgi_up": "1x20 0x40"},
        {(90, "SiteDown"): False, (120, "SiteDown"): False, (180, "SiteDown"): True},
    ),
    (5, {'up{job="site"}': "0x60"}, {(20, "SiteDown"): False, (60, "SiteDown"): True}),
    (
        5,
        {
            QUEUE % ("queue", "sock"): "0x4 100x4 300x4",
            QUEUE % ("max_queue", "sock"): "1024x20",
            QUEUE % ("queue", "health"): "1000x20",
            QUEUE % ("max_queue", "health"): "1024x20",
        },
        {(40, "BacklogFilling"): False, (55, "BacklogFilling"): True},
    ),
    (
        5,
        {
            REQUESTS % 200: "0+100x24",
            REQUESTS % 503: "0x12 1+1x12",
            REQUESTS % 504: "0x12 1+1x12",
        },
        {
            (55, "RequestsRejected"): False,
            (55, "RequestTimeouts"): False,
            (90, "RequestsRejected"): True,
            (90, "RequestTimeouts"): True,
            (115, "ServerErrors"): False,  # 2 %
        },
    ),
    (
        5,
        {REQUESTS % 200: "0+100x120", REQUESTS % 500: "0+10x120"},
        {(60, "ServerErrors"): False, (300, "ServerErrors"): True},
    ),
    (
        5,
        {
            'uwsgi_worker_busy_cores{worker_id="1"}': "16x60",
            'uwsgi_worker_cores{worker_id="1"}': "16x60",
        },
        {(60, "ThreadsBusy"): False, (180, "ThreadsBusy"): True},
    ),
    (30, {STARTS: "1+1x20", LIVE_SINCE: "1000x20"}, {(480, "WorkersCrash"): True}),
    # Those that the guard has asked for, and the starts of a rollout, are no crashes.
    (
        30,
        {STARTS: "1+1x20", 'uwsgi_worker_replacements_total{reason="memory"}': "0+1x20"},
        {(480, "WorkersCrash"): False},
    ),
    (
        30,
        {STARTS: "1x10 9x10", LIVE_SINCE: "1000x10 2000x10"},
        {(480, "WorkersCrash"): False},
    ),
    (
        60,
        {"tls_certificate_expiry_timestamp_seconds": f"{14 * 86400 + 120}x20"},
        {(60, "CertificateExpires"): False, (600, "CertificateExpires"): True},
    ),
    (
        5,
        {"nginx_log_lines_lost_total": "0x10 5x10"},
        {(40, "RequestsNotCounted"): False, (80, "RequestsNotCounted"): True},
    ),
]


class Monitored(Measured):
    """A site with the profile, in containers."""

    def __init__(self, site: ComposeSite, port: int, prometheus: int) -> None:
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        super().__init__(site, port)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus responds."""
        response = httpx.get(
            f"{self.prometheus}/api/v1/query",
            params={"query": expression},
            timeout=60,
            trust_env=False,
        )
        assert response.status_code == 200, f"{expression}: {response.text}"
        return response.json()["data"]["result"]

    def is_scraped(self) -> bool:
        try:
            return bool(self.query("uwsgi_up == 1"))
        except httpx.HTTPError:
            return False

    def tell(self, line: str) -> None:
        """Send the exporter a line, as nginx's container does."""
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX);"
            "s.connect('/run/web/sockets/metrics'); s.sendall(sys.argv[1].encode() + b'\\n')"
        )
        self.site.compose("exec", "-T", "app", "python", "-c", script, line)

    def fires(self, alert: str) -> bool:
        return bool(self.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))


@pytest.fixture(scope="module")
def monitored() -> Iterator[Monitored]:
    port, prometheus = free_port(), free_port()
    site = ComposeSite(
        files=[APP],
        MOUNTS="/path=measured:app /path/second=measured:app",
        WORKERS=1,
        THREADS=1,
        REQUEST_TIMEOUT=600,
        METRICS_PORT=port,
        PROMETHEUS_PORT=prometheus,
    )
    site.environment["COMPOSE_PROFILES"] = "monitoring"
    with site:
        assert site.ask("/path/second/").status == 200
        found = Monitored(site, port, prometheus)
        until(found.is_scraped, "a scrape by Prometheus", 120)
        # Early, since the alert waits for a minute.
        found.tell(f"certificate {int(time.time()) + 86400}")
        yield found


def test_each_alert_fires_when_it_should_and_not_before(monitored: Monitored) -> None:
    tests = [
        {
            "interval": f"{interval}s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": f"{second}s",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
                for (second, alert), fires in expected.items()
            ],
        }
        for interval, series, expected in RULES
    ]
    text = {
        "rule_files": ["/etc/prometheus/alerts.yml"],
        "evaluation_interval": "5s",
        "tests": tests,
    }
    fired = {alert for *_, expected in RULES for (_, alert), fires in expected.items() if fires}
    assert fired == set(ALERTS)
    (container,) = monitored.site.containers("prometheus")
    script = "cd /var/lib/prometheus && cat >tests.json && TMPDIR=. promtool test rules tests.json"
    done = subprocess.run(
        ["docker", "exec", "--interactive", container, "sh", "-c", script],
        input=json.dumps(text),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_what_it_is_and_what_to_do(monitored: Monitored) -> None:
    groups = httpx.get(f"{monitored.prometheus}/api/v1/rules", timeout=60, trust_env=False).json()
    rules = [rule for group in groups["data"]["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules] == ALERTS
    for rule in rules:
        assert rule["health"] != "err", rule
        assert len(rule["annotations"]["summary"]) > 20
        assert re.search(r"docker compose logs|python3 -m deploy", rule["annotations"]["action"])


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_of_the_dashboard_has_a_result(monitored: Monitored, query: str) -> None:
    if ABSENT in query:
        monitored.query(query)  # it is accepted
    else:
        until(lambda: monitored.query(query), f"a result of {query}", 120)


def test_the_exporter_and_prometheus_are_reached_from_this_machine_only(
    monitored: Monitored,
) -> None:
    containers = monitored.site.containers("metrics", "prometheus", "alertmanager")
    for container in containers:
        inspect = ["docker", "container", "inspect", container]
        (found,) = json.loads(subprocess.run(inspect, capture_output=True, check=True).stdout)
        bindings = itertools.chain(*(found["NetworkSettings"]["Ports"] or {}).values())
        assert {binding["HostIp"] for binding in bindings or ()} <= {"127.0.0.1"}
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]


def test_a_flame_graph_of_a_container_needs_no_capability_of_its_own(
    monitored: Monitored, tmp_path: Path
) -> None:
    assert {"busy", "Flask.__call__"} <= monitored.flame_graph(tmp_path / "flame.svg")
    (container,) = monitored.site.containers("app")
    inspect = ["docker", "container", "inspect", "--format", "{{json .HostConfig}}", container]
    found = json.loads(subprocess.run(inspect, capture_output=True, check=True).stdout)
    assert (found["CapAdd"], found["CapDrop"], found["PidMode"]) == (None, ["ALL"], "")


def test_timeouts_crashes_and_what_is_not_counted_fire_their_alerts(monitored: Monitored) -> None:
    for alert in ("RequestTimeouts", "WorkersCrash", "RequestsNotCounted"):
        assert not monitored.fires(alert)
    # An app may respond with 504 by itself: a timeout here would take ten minutes.
    assert monitored.site.ask("/path/second/status/504").status == 504
    monitored.tell("lost 5")
    worker = ""
    for _ in range(5):
        worker = until(lambda worker=worker: _another(monitored.site, worker), "another worker")
        monitored.site.compose("exec", "-T", "app", "sh", "-c", f"kill -KILL {worker}")
    for alert in ("RequestTimeouts", "WorkersCrash", "RequestsNotCounted", "CertificateExpires"):
        until(lambda alert=alert: monitored.fires(alert), alert, 180)


# Last: nothing is as usual afterwards.
def test_the_backlogs_alert_fires_before_the_first_503(monitored: Monitored) -> None:
    site = monitored.site
    with ThreadPoolExecutor(100) as clients:
        with monitored.in_flight():
            monitored.until(1, "uwsgi_worker_busy_cores")
            # While nothing is served, the limit of the backlog falls, to no less than these 4 for
            # half a minute and more.
            waiting = [clients.submit(site.ask, "/path/second/") for _ in range(4)]
            until(lambda: monitored.fires("BacklogFilling"), "the alert", 120)
            assert not monitored.value("nginx_http_requests_total", status="503")
            until(lambda: _is_told(site), "Alertmanager", 120)
            # Then it overflows.
            more = [clients.submit(site.ask, "/path/second/") for _ in range(90)]
            until(lambda: monitored.fires("RequestsRejected"), "the alert of 503s", 120)
        statuses = [request.result().status for request in waiting]
        assert statuses == [200] * 4
        assert {request.result().status for request in more} <= {200, 503}


def _is_told(site: ComposeSite) -> bool:
    query = "amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "query"
    return "BacklogFilling" in site.compose("exec", "-T", "alertmanager", *query).stdout


def _another(site: ComposeSite, worker: str) -> str:
    """The worker that responds, if it is not this one."""
    response = site.ask("/path/second/")
    return response.text if response.status == 200 and response.text != worker else ""
