"""``status`` and ``recycle``: the running releases, which one is live, and what workers do."""

import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.problems import Refusal
from deploy.release.docker import Compose, docker
from deploy.release.releases import Releases
from deploy.server import instances
from deploy.server.instances import Instance
from deploy.server.processes import CONTAINERS_REPORT, HOSTS_REPORT

# Seconds between two looks of --watch.
_PAUSE = 2
# Errors that are shown; --json has all that the exporter keeps.
_ERRORS = 5
INSTANCES = "python", "-m", "deploy", "instances"


@dataclass(frozen=True)
class Row:
    """An instance with its release.

    Args:
        release: its name; empty if it has none.
        name: of the instance, or of its container.
        state: of its container, or ``running``.
        instance: None if it does not respond.
    """

    release: str
    name: str
    state: str
    instance: Instance | None


@dataclass(frozen=True)
class Found:
    """What there is.

    Args:
        instances: all that run.
        problems: of the Procfile's processes, in lines.
        releases: for a rollback; None where there are none, without containers.
        exporter: what the exporter of metrics knows; None if it does not run.
    """

    instances: list[Row]
    problems: str
    releases: list[str] | None
    exporter: dict[str, Any] | None = None


def host(run_dir: Path, *, with_stacks: bool) -> Found:
    """What runs on this machine."""
    found = instances.look(run_dir / "sockets", with_stacks=with_stacks)
    problems = run_dir / HOSTS_REPORT
    return Found(
        [Row("this checkout", one.name, "running", one) for one in found],
        problems.read_text() if problems.exists() else "",
        None,
    )


def containers(*, with_stacks: bool) -> Found:
    """What runs in containers."""
    compose = Compose()
    releases = Releases(compose)
    rows = []
    for container in compose.containers():
        said = container.execute(*INSTANCES, *(["--stacks"] if with_stacks else []))
        found = map(Instance.parse, said.splitlines())
        one = next((one for one in found if one.name == container.instance), None)
        state = container.health or container.state
        rows.append(Row(releases.of(container.image), container.name, state, one))
    problems = (
        container.execute("cat", str(CONTAINERS_REPORT))
        for container in compose.containers("processes")
    )
    return Found(rows, "\n".join(filter(None, problems)), list(releases.all()))


def of_exporter(url: str) -> dict[str, Any] | None:
    """What the exporter of metrics knows: latency and the last errors.

    Args:
        url: of its /status.json.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return json.load(response)
    except (OSError, ValueError):
        return None


def show(look: Callable[[], Found], output: str) -> None:
    """Print what is found.

    Args:
        look: finds it.
        output: ``text``, ``json``, or ``watch``: again and again, until Ctrl-C.
    """
    if output == "json":
        print(json.dumps(asdict(look())))
        return
    before: dict[str, tuple[float, int, float]] = {}
    while True:
        text = "\n\n".join(_sections(look(), before))
        # Only a terminal is cleared.
        clear = "\x1b[H\x1b[2J" if output == "watch" and sys.stdout.isatty() else ""
        print(f"{clear}{text}", flush=True)
        if output != "watch":
            return
        time.sleep(_PAUSE)


def recycle(number: int, run_dir: Path | None) -> None:
    """Replace workers of the live instance, one after the other.

    Args:
        number: of the worker; 0 for all.
        run_dir: RUN_DIR of a `serve` on this machine; None for a container.
    """
    if run_dir:
        for line in instances.recycle(run_dir / "sockets", number):
            print(line, flush=True)
    elif live := Compose().live():
        docker("exec", live.id, *INSTANCES, "--recycle", str(number), show=True)
    else:
        raise Refusal("nothing is live here, so there is no worker to recycle.")


def _sections(all: Found, before: dict[str, tuple[float, int, float]]) -> Iterator[str]:
    rows = all.instances
    yield _table(
        ("RELEASE", "INSTANCE", "STATE", "LIVE SINCE", "WORKERS", "BUSY", "REQUESTS", "QUEUE"),
        ((row.release or "(none)", row.name, row.state, *_summary(row.instance)) for row in rows),
    )
    found = [row.instance for row in rows if row.instance]
    if rates := [(one.name, *_rate(one, before)) for one in found if one.name in before]:
        yield _table(("INSTANCE", "REQUESTS/S", "MILLISECONDS", "BACKLOG LIMIT"), rates)
    for one in found:
        handled = sum(worker.handled for worker in one.workers)
        running = sum(worker.running_time for worker in one.workers)
        before[one.name] = time.monotonic(), handled, running
    yield _table(
        ("INSTANCE", "MOUNT", "REQUESTS"),
        ((one.name, mount, str(n)) for one in found for mount, n in one.mounts.items()),
    )
    if all.exporter:
        yield _last_minute(all.exporter)
    yield _table(
        ("INSTANCE", "WORKER", "PID", "STATE", "THREADS", "MEMORY", "AGE", "STARTS", "REQUESTS"),
        (
            (
                *(one.name, str(worker.number), str(worker.pid), worker.state),
                f"{len(worker.requests)}/{worker.threads}",
                f"{worker.memory / 1024**2:.0f} MB",
                f"{max(0, time.time() - worker.since):.0f} s",
                *(str(worker.starts), str(worker.handled)),
            )
            for one in found
            for worker in one.workers
        ),
    )
    requests = [
        (one.name, str(worker.number), str(request.thread), f"{request.seconds} s", request.line,
         request.id)
        for one in found
        for worker in one.workers
        for request in sorted(worker.requests, key=lambda request: -request.seconds)
    ]  # fmt: skip
    if requests:
        yield _table(("INSTANCE", "WORKER", "THREAD", "FOR", "REQUEST", "ID"), requests)
    if all.exporter and all.exporter["errors"]:
        yield _errors(all.exporter["errors"][:_ERRORS])
    for one in found:
        for worker in one.workers:
            if worker.stacks:
                yield f"{one.name}, worker {worker.number}:\n{worker.stacks}"
    if all.problems:
        yield all.problems.rstrip()
    if all.releases is not None:
        yield f"Releases: {' '.join(all.releases) or '(none)'}"
    if not all.exporter:
        yield "Latency and the last errors are not shown: the exporter (METRICS_PORT) does not run."


def _last_minute(found: dict[str, Any]) -> str:
    """Requests by mount, from the exporter's state."""
    classes, quantiles = found["recent"]["per_second"], found["recent"]["milliseconds"]
    return _table(
        ("LAST MINUTE", "REQUESTS/S", *classes, *(f"{name} MS" for name in quantiles)),
        (
            (
                "(outside)" if one["mount"] == "none" else one["mount"],
                f"{sum(one['per_second'].values()):.1f}",
                *(f"{value:.1f}" for value in one["per_second"].values()),
                *("-" if ms is None else f"{ms:.0f}" for ms in one["milliseconds"].values()),
            )
            for one in found["mounts"]
        ),
    )


def _errors(found: list[dict[str, Any]]) -> str:
    return _table(
        ("ERROR", "STATUS", "TOOK", "REQUEST", "ID"),
        (
            (
                f"{datetime.fromtimestamp(error['time']):%Y-%m-%d %H:%M:%S}",
                str(error["status"]),
                f"{error['seconds']:.3f} s",
                error["line"],
                error["id"],
            )
            for error in found
        ),
    )


def _summary(one: Instance | None) -> tuple[str, ...]:
    if not one:
        return ("",) * 5
    since = (
        f"{datetime.fromtimestamp(one.live_since):%Y-%m-%d %H:%M:%S}" if one.live else "not live"
    )
    busy = sum(len(worker.requests) for worker in one.workers)
    handled = sum(worker.handled for worker in one.workers)
    return since, str(len(one.workers)), str(busy), str(handled), str(one.queue)


def _rate(one: Instance, before: dict[str, tuple[float, int, float]]) -> tuple[str, ...]:
    """Requests a second and their mean time in the app since the last look."""
    then, handled, running = before[one.name]
    requests = sum(worker.handled for worker in one.workers) - handled
    seconds = sum(worker.running_time for worker in one.workers) - running
    mean = f"{1000 * seconds / requests:.1f}" if requests > 0 else "-"
    rate = max(0, requests) / (time.monotonic() - then)
    return f"{rate:.1f}", mean, str(one.queue_limit)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    cells = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join(line.rstrip() for line in cells)
