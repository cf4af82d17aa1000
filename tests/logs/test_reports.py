"""SENTRY_DSN and OTEL_EXPORTER_OTLP_ENDPOINT: the app's own settings win, and nothing breaks it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.receivers import Receiver, receiving
from tests.servers import HostSite, Serve, free_port, until

APPS = Path(__file__).parent / "apps"
# An import of such a module fails as if it was not installed.
MISSING = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize("load_apps", ["once", "each"])
def test_an_app_that_sets_up_its_own_reports_keeps_them_and_they_have_the_id(
    serve: Serve, receiver: Receiver, load_apps: str
) -> None:
    site = serve(
        "host",
        files=[APPS / "own_reports.py"],
        MOUNTS="/path=own_reports:app",
        WORKERS=2,
        THREADS=2,
        LOAD_APPS=load_apps,
        SENTRY_DSN=receiver.dsn(1),
        OWN_DSN=receiver.dsn(2),
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{receiver.address}",
    )
    assert site.ask("/path/").text == "OwnProvider"
    response = site.ask("/path/boom")
    assert response.status == 500
    (event,) = until(lambda: receiver.events(2), "the event", 60)
    assert event["release"] == "own"
    assert event["tags"]["request_id"] == response.headers["X-Request-ID"]
    assert receiver.events(1) == receiver.spans() == []


def served_and_stopped(site: HostSite) -> str:
    """Its log, when it has served many requests and has stopped."""
    for _ in range(20):
        assert site.ask("/path/boom/b").status == 500
    site.signal(signal.SIGTERM)
    assert site.wait(120) == 0, site.logs()
    return site.logs()


def test_a_wrong_dsn_and_an_endpoint_that_does_not_answer_are_a_sentence_each(
    serve: Serve,
) -> None:
    site = serve(
        "host",
        files=[APPS / "talkative.py"],
        MOUNTS="/path=talkative:app",
        WORKERS=1,
        THREADS=4,
        SENTRY_DSN="nonsense",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_BSP_SCHEDULE_DELAY=100,
    )
    assert isinstance(site, HostSite)
    log = served_and_stopped(site)
    assert log.count("SENTRY_DSN cannot be used (") == 1
    assert log.count("does not take spans, which are lost until it does; requests go on.\n") == 1
    assert "opentelemetry.exporter" not in log


def test_a_sentry_that_does_not_answer_and_a_wrong_endpoint_are_a_sentence_each(
    serve: Serve,
) -> None:
    port = free_port()
    site = serve(
        "host",
        files=[APPS / "talkative.py"],
        MOUNTS="/path=talkative:app",
        WORKERS=1,
        THREADS=4,
        SENTRY_DSN=f"http://key@127.0.0.1:{port}/1",
        OTEL_EXPORTER_OTLP_ENDPOINT="nonsense",
        OTEL_BSP_SCHEDULE_DELAY=100,
    )
    assert isinstance(site, HostSite)
    log = served_and_stopped(site)
    assert log.count(f"SENTRY_DSN: 127.0.0.1:{port} does not take events (network), which are") == 1
    assert log.count("OTEL_EXPORTER_OTLP_ENDPOINT") == 1


def test_a_package_that_is_missing_is_named(serve: Serve, tmp_path: Path) -> None:
    for name in ("sentry_sdk", "opentelemetry"):
        (tmp_path / f"{name}.py").write_text(MISSING)
    site = serve(
        "host",
        files=[APPS / "talkative.py", *tmp_path.glob("*.py")],
        MOUNTS="/path=talkative:app",
        WORKERS=2,
        THREADS=2,
        SENTRY_DSN="http://key@127.0.0.1/1",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1",
        PYTHONPATH=".",
    )
    assert isinstance(site, HostSite)
    log = served_and_stopped(site)
    assert log.count("SENTRY_DSN is set, and sentry-sdk is not installed; add it to") == 1
    assert log.count("is set, and opentelemetry is not installed; add") == 1
