"""The id of a request finds its lines: in nginx, the app, a traceback, Sentry and a trace."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.logs.receivers import Receiver, receiving
from tests.servers import HostSite, Serve, Site, until

APPS = Path(__file__).parent / "apps"
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
ALL, TRACED = 500, 250


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def with_id(site: Site, request_id: str) -> list[dict[str, Any]]:
    """The lines of the log that have this id, which are all JSON."""
    return [json.loads(line) for line in site.logs().splitlines() if request_id in line]


@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_the_id_of_a_failed_request_among_500_finds_exactly_its_lines_its_error_and_its_trace(
    serve: Serve, receiver: Receiver, load_apps: str
) -> None:
    site = serve(
        "host",
        files=[APPS / "talkative.py"],
        MOUNTS="/path=talkative:app",
        WORKERS=4,
        THREADS=4,
        LOAD_APPS=load_apps,
        LOG_FORMAT="json",
        SENTRY_DSN=receiver.dsn(),
        SENTRY_RELEASE="shop-7",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{receiver.address}",
        PYTHONWARNINGS="default",
    )
    assert isinstance(site, HostSite)

    def ask(number: int) -> str:
        path = ("fine", f"warn/{number}", f"boom/{number}", f"stream/{number}")[number % 4]
        headers = {"traceparent": TRACEPARENT} if number == TRACED else {}
        response = site.ask(f"/path/{path}".removesuffix("fine"), headers)
        assert response.status == (500 if number % 4 == 2 else 200)
        return response.headers["X-Request-ID"]

    with ThreadPoolExecutor(16) as clients:
        ids = list(clients.map(ask, range(ALL)))
    # The last one's report is sent while the site stops.
    last = ask(ALL + 2)
    site.signal(signal.SIGTERM)
    assert site.wait(120) == 0, site.logs()

    traced = ids[TRACED]
    for number, request_id in ((246, ids[246]), (TRACED, traced), (ALL + 2, last)):
        lines = with_id(site, request_id)
        (access,) = (line for line in lines if "status" in line)
        assert (access["uri"], access["status"]) == (f"/path/boom/{number}", 500)
        before, error = (line for line in lines if "status" not in line)
        assert (before["message"], before["level"]) == (f"before {number}", "warning")
        assert error["message"] == f"Exception on /boom/{number} [GET]"
        assert error["level"] == "error"
        assert error["traceback"].endswith(f"\nLookupError: {number}")
        assert {line["request_id"] for line in lines} == {request_id}

        (event,) = (e for e in receiver.events() if e["tags"].get("request_id") == request_id)
        assert event["exception"]["values"][-1]["value"] == str(number)
        assert event["tags"]["mount"] == "/path"
        assert (event["release"], event["environment"]) == ("shop-7", "development")

        trace = TRACE if request_id == traced else request_id
        (span,) = (span for span in receiver.spans() if span.trace_id.hex() == trace)
        assert {line.get("traceparent") or None for line in lines} == {
            TRACEPARENT if request_id == traced else None
        }
        assert span.parent_span_id.hex() == (
            TRACEPARENT.split("-")[2] if request_id == traced else ""
        )
    # None is lost, also of the others.
    errors = {event["tags"]["request_id"] for event in receiver.events() if "exception" in event}
    assert errors == {request_id for n, request_id in enumerate(ids) if n % 4 == 2} | {last}
    traces = {span.trace_id.hex() for span in receiver.spans()}
    assert traces >= {*ids, last} - {traced}
    for line in site.logs().splitlines():
        assert "uwsgi" not in line.lower() or "fork-hooks" not in line


def test_the_id_is_in_text_too_and_of_a_stream_a_thread_a_late_request_and_without_flask(
    serve: Serve,
) -> None:
    site = serve(
        "host",
        files=[APPS / "talkative.py"],
        MOUNTS="/path=talkative:app /plain=talkative:plain",
        WORKERS=2,
        THREADS=2,
        REQUEST_TIMEOUT=2,
    )
    for path, status, text in (
        ("/path/warn/w?secret", 200, "WARNING in talkative: app w (id {})"),
        ("/path/warn/w", 200, "shop w (id {})"),
        ("/path/boom/b?secret", 500, "ERROR in app: Exception on /boom/b [GET] (id {})\nTraceback"),
        ("/path/stream/s", 200, "in a stream s (id {})"),
        ("/path/thread/t", 200, "in a thread of t (id {})"),
        ("/plain/p?secret", 500, "\nException on /plain/p [GET] (id {})\nTraceback (most recent"),
        ("/path/slow/s?secret", 504, "GET /path/slow/s (id {}) has run for"),
        ("/path/", 200, " GET /path/ (id {}, client 127.0.0.1, app "),
    ):
        response = site.ask(path)
        assert response.status == status
        text = text.format(response.headers["X-Request-ID"])
        until(lambda text=text: text in site.logs(), repr(text), 60)


def test_x_request_start_is_nginxs_and_only_a_valid_traceparent_is_logged(
    shared_site: Serve,
) -> None:
    site = shared_site("host", WORKERS=4, THREADS=4)
    for traceparent in (TRACEPARENT, TRACEPARENT.upper(), f"{TRACEPARENT}-00"):
        sent = {"X-Request-Start": "t=1", "traceparent": traceparent}
        before = time.time()
        response = site.ask("/path/inspect", sent)
        got = dict(response.json()["headers"])
        # nginx's clock is that of its last event.
        assert before - 60 < float(got["X-Request-Start"].removeprefix("t=")) < time.time() + 1
        # What the app gets is the client's.
        assert got["Traceparent"] == traceparent
