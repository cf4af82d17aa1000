"""Supervisor of nginx, uWSGI and the Procfile's processes on this machine.

When one of the first two exits, all are stopped. A rollout starts a second uWSGI, waits until it is
live, stops the old one, and replaces the processes. A graceful shutdown stops nginx first, which
finishes in-flight requests, and then uWSGI. Generic supervisors send SIGTERM to both at once, on
which nginx drops requests.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deploy.install import here
from deploy.problems import Refusal
from deploy.release import control
from deploy.server import (
    nginx,
    preflight,
    programs,
    promotion,
    release_step,
    starts,
    systemd,
    uwsgi,
)
from deploy.server.processes import HOSTS_REPORT, Processes
from deploy.settings import environment
from deploy.settings import knobs as knobs_module
from deploy.settings.knobs import PROJECT, Knobs

# Seconds between two polls of a server that is starting.
_POLL_INTERVAL = 0.02
# Seconds before the exporter of metrics is started again.
_PAUSE = 1


class Site:
    """nginx and uWSGI. During a rollout there are two uWSGIs."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._processes = [self._processes_of(knobs)]  # the last ones are the live release's
        self._asked = asyncio.Event()
        self._numbers = itertools.count(1)
        self._apps: list[_Server] = []  # the last one is live, or about to be
        self._live: _Server | None = None
        self._front: _Server | None = None
        self._exporter: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Request a stop."""
        self._asked.set()

    @property
    def asked_to_stop(self) -> bool:
        """Whether a stop was requested."""
        return self._asked.is_set()

    @contextlib.asynccontextmanager
    async def started(self, nginx_environment: dict[str, str]) -> AsyncIterator[None]:
        """Start uWSGI, nginx and the processes; when the block has ended, stop them.

        nginx is stopped before uWSGI.
        """
        try:
            if self._knobs.metrics_port:
                self._exporter = asyncio.create_task(self._export())
            self._live = await self._start_app(self._knobs)
            if await self.until(lambda: self._is_live(self._live)):
                self._front = await _Server.start(
                    nginx.command(self._knobs.run_dir), signal.SIGQUIT, env=nginx_environment
                )
                self._processes[-1].start()
            yield
        finally:
            timeouts = (processes.stop_timeout for processes in self._processes)
            seconds = max(2 * self._stop_timeout(), *timeouts)
            systemd.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={seconds}000000")
            stops = (processes.stop() for processes in self._processes)
            await asyncio.gather(self._stop_servers(), *stops)

    async def _stop_servers(self) -> None:
        if self._front:
            await self._front.stop(signal.SIGQUIT, self._stop_timeout())
        for app in self._apps:
            await app.stop(signal.SIGTERM, self._stop_timeout())
        if self._exporter:
            self._exporter.cancel()
            await asyncio.wait([self._exporter])

    async def _export(self) -> None:
        """Run the exporter of metrics, again if it ends, but not if it rejects its settings."""
        command = str(environment.program("python")), "-m", "deploy", "metrics"
        while True:
            exporter = await _Server.start(command, signal.SIGTERM, cwd=PROJECT)
            try:
                if await asyncio.shield(exporter.ended) == 2:
                    return
            finally:
                await exporter.stop(signal.SIGTERM, 5)
            await asyncio.sleep(_PAUSE)

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until it is true. False if a server exits or a stop is requested before."""
        while not self._over():
            if await asyncio.to_thread(condition):
                return True
            await asyncio.sleep(_POLL_INTERVAL)
        return False

    async def serve(self) -> None:
        """Serve rollouts, until a server exits or a stop is requested."""
        async with await control.listen(self._knobs.run_dir, self.rollout):
            systemd.notify("READY=1")
            asked = asyncio.create_task(self._asked.wait())
            while not self._over():
                # After a rollout, another app is live.
                ends = self._live.ended, self._front.ended, asked
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    async def rollout(self, timeout: float, say: control.Say) -> None:
        """Roll out the current state of the checkout and the settings.

        Args:
            timeout: seconds for each step: the preflight, the release step, and the start of the
                new instance until it is live.
            say: reports progress.

        Raises:
            Refusal: it failed. The old instance still serves.
        """
        knobs = knobs_module.read()
        here.refuse_outdated(knobs.app_dir)
        configuration = _configuration(knobs)
        await asyncio.to_thread(starts.abort_on_errors, starts.before_serving(knobs), say)
        await asyncio.to_thread(nginx.test, knobs, knobs.run_dir)
        # The preflight then times out first, with a stack trace.
        start_timeout = min(int(knobs.environment["START_TIMEOUT"]), max(1, int(timeout)))
        given = knobs.environment | {"START_TIMEOUT": str(start_timeout)}
        if await _tell("preflight", given, say, start_timeout + 10) == preflight.EACH:
            knobs.environment["LOAD_APPS"] = "each"
        if release_step.exists(knobs):
            await _tell("release", knobs.environment, say, timeout)

        say("A new instance starts beside the old one")
        old, new = self._live, await self._start_app(knobs)
        late = time.monotonic() + timeout
        await self.until(lambda: self._is_live(new) or new.ended.done() or time.monotonic() > late)
        if not self._is_live(new):
            await new.stop(signal.SIGTERM, 5)
            self._apps.remove(new)
            raise Refusal(
                "the new instance does not go live; the log of `serve` says more. The old one"
                " still serves."
            )
        self._live, self._knobs = new, knobs
        if _configuration(knobs) != configuration:
            say("nginx reads its new configuration")
            self._front.process.send_signal(signal.SIGHUP)
        say("The new instance is live; the old one drains")
        # Tasks of the new release are for its own workers: replace these at once.
        previous, processes = self._processes[-1], self._processes_of(knobs)
        self._processes.append(processes)
        processes.start()
        await asyncio.gather(old.stop(signal.SIGTERM, self._stop_timeout()), previous.stop())
        self._apps.remove(old)
        self._processes.remove(previous)
        if problem := await processes.problem(timeout):
            raise Refusal(f"the new instance is live, but {problem}")

    def _processes_of(self, knobs: Knobs) -> Processes:
        return Processes(knobs, knobs.run_dir / HOSTS_REPORT)

    async def _start_app(self, knobs: Knobs) -> "_Server":
        name = f"app-{next(self._numbers)}"
        app = await _Server.start(
            uwsgi.command(knobs),
            signal.SIGTERM,
            name,
            cwd=knobs.app_dir,
            # nginx has drained when uWSGI is stopped.
            env=uwsgi.environment(knobs, instance=name) | {"DRAIN_DELAY": "0"},
        )
        self._apps.append(app)
        return app

    def _is_live(self, app: "_Server") -> bool:
        return promotion.live_instance(self._knobs.run_dir / "sockets") == app.name

    def _over(self) -> bool:
        servers = filter(None, (self._live, self._front))
        return self.asked_to_stop or any(server.ended.done() for server in servers)

    def _stop_timeout(self) -> int:
        """Seconds of a graceful shutdown, after which a server is killed."""
        return self._knobs.stop_timeout + 10


@dataclass
class _Server:
    """A server in a session of its own.

    Ctrl-C in a terminal reaches only this process, which stops the servers in order.
    """

    process: asyncio.subprocess.Process
    name: str
    ended: asyncio.Task[int]

    @classmethod
    async def start(cls, command: list[str], number: int, name: str = "", **options: Any) -> Self:
        # The kernel sends the stop signal when this process is killed.
        command = [*programs.ending_with_this(signal.Signals(number).name[3:]), *command]
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
        return cls(process, name, asyncio.create_task(process.wait()))

    async def stop(self, number: int, timeout: float) -> None:
        """Send a signal, wait for the exit, and kill what is left."""
        if not self.ended.done():
            self.process.send_signal(number)
            await asyncio.wait([self.ended], timeout=timeout)
        # Workers of a killed master, which in nginx's case hold the port.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.ended


async def _tell(command: str, environment: dict[str, str], say: control.Say, timeout: float) -> int:
    """Run a command of this package, report its output, and return its exit status.

    Raises:
        Refusal: it failed or timed out.
    """
    process = await asyncio.create_subprocess_exec(
        *(*programs.ending_with_this("TERM"), sys.executable, "-m", "deploy", command),
        cwd=PROJECT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            async for line in process.stdout:
                say(line.decode(errors="replace").rstrip())
            status = await process.wait()
    except TimeoutError:
        raise Refusal(
            f"the {command} step has not ended after {timeout:g} seconds; set a longer --timeout if"
            " it needs that. The old release still serves."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if status not in (0, preflight.EACH):
        raise Refusal(f"the {command} step failed. The old release still serves.")
    return status


def _configuration(knobs: Knobs) -> dict[Path, bytes]:
    """nginx's configuration on disk."""
    return {path: path.read_bytes() for path in (knobs.run_dir / "nginx").rglob("*.conf")}
