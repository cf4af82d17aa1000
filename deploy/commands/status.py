"""``status``: the running releases, which one is live, and the state of their workers."""

import contextlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from deploy.release.docker import Compose
from deploy.release.releases import Releases
from deploy.server import instances
from deploy.server.instances import Instance
from deploy.server.processes import CONTAINERS_REPORT, HOSTS_REPORT

_COLUMNS = ("RELEASE", "INSTANCE", "STATE", "LIVE SINCE", "WORKERS", "BUSY", "REQUESTS", "QUEUE")


def show_host(run_dir: Path) -> None:
    """Print a table of the instances on this machine, and the problems of the processes."""
    found = instances.look(run_dir / "sockets")
    _table(("this checkout", one.name, "running", *_doing(one)) for one in found)
    with contextlib.suppress(FileNotFoundError):
        _problems((run_dir / HOSTS_REPORT).read_text())


def show_containers() -> None:
    """Print a table of the containers of the app, problems, and the releases for a rollback."""
    compose = Compose()
    releases = Releases(compose)
    rows = []
    for container in compose.containers():
        said = container.execute("python", "-m", "deploy", "instances")
        found = (Instance(**json.loads(line)) for line in said.splitlines())
        doing = next((_doing(one) for one in found if one.name == container.instance), ("",) * 5)
        state = container.health or container.state
        rows.append((releases.of(container.image) or "(none)", container.name, state, *doing))
    _table(rows)
    for container in compose.containers("processes"):
        _problems(container.execute("cat", str(CONTAINERS_REPORT)))
    print(f"\nReleases: {' '.join(releases.all()) or '(none)'}")


def _doing(one: Instance) -> tuple[str, ...]:
    since = (
        f"{datetime.fromtimestamp(one.live_since):%Y-%m-%d %H:%M:%S}" if one.live else "not live"
    )
    return since, str(one.workers), str(one.busy), str(one.requests), str(one.queue)


def _problems(text: str) -> None:
    if text:
        print(f"\n{text.rstrip()}")


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    lines = [_COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
