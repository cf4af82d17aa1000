"""Waiting times: for the first response after `docker compose up`, and for a rollout."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import endpoints, load
from benchmarks.results import Start
from benchmarks.stacks import place_app
from tests.servers import ComposeSite, NotServedError

TIMES = 5
_MOUNT = "/path"
_TIMEOUT = 60


def measure(say: Callable[[str], None]) -> list[Start]:
    """Start the bundle in containers, and bring new releases live, several times each.

    Raises:
        NotServedError: it does not start, or a release does not go live.
    """
    starts = []
    with tempfile.TemporaryDirectory() as folder:
        place_app(Path(folder))
        site = ComposeSite(files=[Path(folder, "measured")], MOUNTS=f"{_MOUNT}=measured:app")
    app = site.folder / "measured" / "__init__.py"
    said = "Hello"
    try:
        site.compose("build")
        for number in range(TIMES):
            say(f"start {number + 1} of {TIMES}")
            site.compose("down", "--volumes", "--timeout", "5")
            first, _ = _until_said(site, said, ["docker", "compose", "up", "--detach"])
            starts.append(Start("`docker compose up`, images present, to the first 200", first))
        for number in range(TIMES):
            say(f"rollout {number + 1} of {TIMES}")
            release = f"Hello from release {number}"
            app.write_text(app.read_text().replace(f'"{said}\\n"', f'"{release}\\n"'))
            said = release
            live, done = _until_said(site, said, [sys.executable, "-m", "deploy", "rollout"])
            starts.append(Start("`python -m deploy rollout`, with its build, until live", live))
            starts.append(Start("the same, until the old release has gone", done))
    finally:
        site.clean_up()
    return starts


def _until_said(site: ComposeSite, words: str, command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return the seconds until the app says so, and until the command has ended."""
    began = time.monotonic()
    environment = site.environment | {"COMPOSE_PROJECT_NAME": site.name}
    with subprocess.Popen(
        command,
        cwd=site.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while not _says(site.port, words):
            if running.poll() or time.monotonic() - began > _TIMEOUT:
                running.kill()
                raise NotServedError(f"{' '.join(command)}\n{site.logs()}")
            time.sleep(0.01)
        said = time.monotonic() - began
        if running.wait():
            raise NotServedError(f"{' '.join(command)} ended with {running.returncode}")
        return said, time.monotonic() - began


def _says(port: int, words: str) -> bool:
    try:
        load.check(port, _MOUNT, replace(endpoints.TINY, expected=words.encode()))
    except (OSError, load.WrongResponseError):
        return False
    return True
