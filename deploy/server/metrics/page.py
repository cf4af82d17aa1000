"""The status page: HTML with inline graphs, without scripts."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from deploy.server.instances import Instance
from deploy.server.metrics.graph import Line, graph, number
from deploy.server.metrics.history import CLASSES, SPAN, STEP, Window
from deploy.server.metrics.state import Recent, State, quantiles

_TEMPLATE = Template(Path(__file__).with_name("page.html").read_text())
_STYLE = Path(__file__).with_name("page.css").read_text()
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# No script, nothing from elsewhere, and not inside of another page.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_COLOURS = {"2xx": "green", "3xx": "blue", "4xx": "amber", "5xx": "red"}
# Days before its end at which the alert about a certificate fires.
_EXPIRES = 14
# Columns with paths and the like, which are broken into lines.
_WIDE = {"Request", "Mount"}
# Errors that are shown; programs get all that are kept.
_ERRORS = 8


def page(state: State, windows: Sequence[Window]) -> str:
    """The page.

    Args:
        state: the state of the site.
        windows: from each sample of the last minutes to the next.
    """
    live = state.live
    headline = f"{live.name} is live" if live else "No instance responds"
    about = [f"release {state.release}"] if state.release else []
    if live and live.live_since:
        about.append(f"since {_time(live.live_since)} UTC ({_age(live.live_since)})")
    if state.others:
        about.append(f"also running: {', '.join(state.others)}")
    return _TEMPLATE.substitute(
        title=escape(headline),
        style=_STYLE,
        health="up" if live else "down",
        headline=escape(headline),
        about=escape("; ".join(about)),
        tiles="".join(_tiles(state)),
        graphs="".join(_graphs(windows)),
        tables="".join(_tables(state)),
        time=_time(time.time()),
    )


def _tiles(state: State) -> Iterable[str]:
    recent, live = state.recent, state.live
    yield _tile("Requests/s", number(sum(recent.per_second.values())))
    failed = recent.per_second["5xx"]
    yield _tile("5xx/s", number(failed), alarm=failed > 0)
    yield _tile("p95", number(recent.milliseconds["p95"], " ms"))
    if live:
        busy = sum(len(worker.requests) for worker in live.workers)
        threads = sum(worker.threads for worker in live.workers)
        yield _tile("Threads busy", f"{busy} of {threads}", alarm=busy > 0.9 * threads)
        limit = live.queue_limit
        yield _tile("Listen backlog", f"{live.queue} of {limit}", alarm=live.queue > limit / 4)
    if state.connections:
        yield _tile("Connections", number(state.connections["active"]))
    if state.certificate_expiry:
        days = (state.certificate_expiry - time.time()) / 86400
        yield _tile("Certificate expires", f"in {days:.0f} days", alarm=days < _EXPIRES)


def _tile(name: str, value: str, *, alarm: bool = False) -> str:
    style = ' class="alarm"' if alarm else ""
    return f"<div{style}><p>{escape(name)}</p><b>{escape(value)}</b></div>"


def _graphs(windows: Sequence[Window]) -> Iterable[str]:
    def line(name: str, style: str, value: Callable[[Window], float | None]) -> Line:
        return Line(name, style, [value(window) for window in windows])

    samples = SPAN // STEP
    per_second = [
        line(name, _COLOURS[name], lambda window, name=name: window.per_second(status=name))
        for name in CLASSES
    ]
    yield graph("Requests a second", per_second, samples)
    durations = [quantiles(window) for window in windows]
    colours = ("green", "amber", "red")
    latency = [
        Line(name, colour, [found[name] for found in durations])
        for name, colour in zip(("p50", "p95", "p99"), colours, strict=True)
    ]
    yield graph("Latency", latency, samples, unit=" ms")
    busy = line("busy", "blue", lambda window: window.last.busy)
    threads = line("all", "quiet", lambda window: window.last.threads)
    yield graph("Threads", [threads, busy], samples)
    yield graph("Listen backlog", [line("waiting", "violet", lambda w: w.last.queue)], samples)


def _tables(state: State) -> Iterable[str]:
    yield _table(
        "Mounts, the last minute",
        ("Mount", "Requests/s", *CLASSES, "p50", "p95", "p99", "In all"),
        map(_mount, state.mounts),
    )
    if state.live:
        yield _table(
            "Workers",
            ("Worker", "PID", "State", "Busy", "Memory", "Age", "Starts", "Requests"),
            (
                (
                    *(str(worker.number), str(worker.pid), worker.state),
                    f"{len(worker.requests)} of {worker.threads}",
                    f"{worker.memory / 1024**2:.0f} MB",
                    *(_age(worker.since), number(worker.starts), number(worker.handled)),
                )
                for worker in state.live.workers
            ),
        )
        yield _table(
            "In flight", ("Worker", "Thread", "For", "Request", "ID"), _in_flight(state.live)
        )
    yield _table(
        "Last errors",
        ("Time (UTC)", "Status", "Took", "Request", "ID"),
        (
            (_time(e.time), str(e.status), f"{e.seconds:.3f} s", e.line, e.id)
            for e in state.errors[:_ERRORS]
        ),
        empty="None since the exporter was started.",
    )
    yield _table(
        "Processes",
        ("Process", "State", "Ended by itself"),
        ((one.name, "up" if one.up else "down", str(one.ends)) for one in state.processes),
    )


def _mount(recent: Recent) -> tuple[str, ...]:
    return (
        "(outside)" if recent.mount == "none" else recent.mount,
        number(sum(recent.per_second.values())),
        *(number(recent.per_second[name]) for name in CLASSES),
        *(number(value, " ms") for value in recent.milliseconds.values()),
        number(recent.requests),
    )


def _in_flight(live: Instance) -> list[tuple[str, ...]]:
    found = [(request, worker) for worker in live.workers for request in worker.requests]
    return [
        (str(worker.number), str(request.thread), f"{request.seconds} s", request.line, request.id)
        for request, worker in sorted(found, key=lambda pair: -pair[0].seconds)
    ]


def _table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str = ""
) -> str:
    """A table; without rows, a sentence instead, or nothing."""
    wide = [' class="wide"' if column in _WIDE else "" for column in columns]
    cells = (
        "".join(f"<td{style}>{escape(cell)}</td>" for style, cell in zip(wide, row, strict=True))
        for row in rows
    )
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    if not body and not empty:
        return ""
    head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
    content = f"<table><tr>{head}</tr>{body}</table>" if body else f"<p>{empty}</p>"
    return f'<section class="table"><h2>{escape(title)}</h2>{content}</section>'


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _age(since: float) -> str:
    seconds = max(0, time.time() - since)
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
