"""nginx and uWSGI, run by one process on this machine.

Two programs are started and watched, nothing more. When either ends, so does the other. A rollout
starts one more uWSGI, waits until that is live, and stops the old one. When asked to stop, nginx
goes first and finishes what it has accepted, then uWSGI does the same. (A ready-made supervisor
sends everybody SIGTERM at once, on which nginx drops its requests.)
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

from deploy import check, control, nginx, preflight, promotion, systemd, uwsgi
from deploy import knobs as knobs_module
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal

# Seconds between two looks at a server that is starting.
_PAUSE = 0.05


class Site:
    """nginx, and the uWSGI that it asks. During a rollout there are two of those."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._asked = asyncio.Event()
        self._numbers = itertools.count(1)
        self._apps: list[_Server] = []  # the last one is live, or about to be
        self._live: _Server | None = None
        self._front: _Server | None = None

    def stop(self) -> None:
        """Ask it to stop."""
        self._asked.set()

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody did."""
        return self._asked.is_set()

    @contextlib.asynccontextmanager
    async def started(self, nginx_environment: dict[str, str]) -> AsyncIterator[None]:
        """Start uWSGI, then nginx; when the block has ended, stop nginx, then uWSGI."""
        try:
            self._live = await self._start_app(self._knobs)
            if await self.until(lambda: self._is_live(self._live)):
                self._front = await _Server.start(
                    nginx.command(self._knobs.run_dir), signal.SIGQUIT, env=nginx_environment
                )
            yield
        finally:
            systemd.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={2 * self._patience():.0f}000000")
            if self._front:
                await self._front.stop(signal.SIGQUIT, self._patience())
            for app in self._apps:
                await app.stop(signal.SIGTERM, self._patience())

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until it is true. False if a server ends before that, or somebody asks to stop."""
        while not self._over():
            if await asyncio.to_thread(condition):
                return True
            await asyncio.sleep(_PAUSE)
        return False

    async def serve(self) -> None:
        """Take rollouts, until a server ends or somebody asks to stop."""
        async with await control.listen(self._knobs.run_dir, self.rollout):
            systemd.notify("READY=1")
            asked = asyncio.create_task(self._asked.wait())
            while not self._over():
                # The app that is live may be another one by then: that was a rollout.
                ends = self._live.ended, self._front.ended, asked
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    async def rollout(self, timeout: float, say: control.Say) -> None:
        """Serve what now lies in this folder, with the knobs as they now are.

        Args:
            timeout: seconds that each step may take: the preflight, the release step, and the
                start of the new instance until it is live.
            say: tells people what is going on.

        Raises:
            Refusal: it does not work. The old instance serves as before.
        """
        knobs = knobs_module.read()
        configuration = _configuration(knobs)
        await asyncio.to_thread(check.abort_on_errors, check.before_serving(knobs), say)
        await asyncio.to_thread(nginx.test, knobs, knobs.run_dir)
        # It ends by itself then, and says where the apps hang.
        start_timeout = min(int(knobs.environment["START_TIMEOUT"]), max(1, int(timeout)))
        given = knobs.environment | {"START_TIMEOUT": str(start_timeout)}
        if await _tell("preflight", given, say, start_timeout + 10) == preflight.EACH:
            knobs.environment["LOAD_APPS"] = "each"
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
        say("The new instance is live; the old one finishes what it has begun")
        await old.stop(signal.SIGTERM, self._patience())
        self._apps.remove(old)

    async def _start_app(self, knobs: Knobs) -> "_Server":
        name = f"app-{next(self._numbers)}"
        app = await _Server.start(
            uwsgi.command(knobs),
            signal.SIGTERM,
            name,
            cwd=PROJECT,
            env=uwsgi.environment(knobs, instance=name),
        )
        self._apps.append(app)
        return app

    def _is_live(self, app: "_Server") -> bool:
        return promotion.live_instance(self._knobs.run_dir / "sockets") == app.name

    def _over(self) -> bool:
        servers = filter(None, (self._live, self._front))
        return self.asked_to_stop or any(server.ended.done() for server in servers)

    def _patience(self) -> int:
        """Seconds after which a server that was asked to stop is stopped all the same."""
        return int(self._knobs.environment["REQUEST_TIMEOUT"]) + 10


@dataclass
class _Server:
    """A server that was started here, in a session of its own.

    So Ctrl-C in a terminal reaches this process alone, which then stops them in the right order.
    """

    process: asyncio.subprocess.Process
    name: str
    ended: asyncio.Task[int]

    @classmethod
    async def start(cls, command: list[str], number: int, name: str = "", **options: Any) -> Self:
        # The signal that asks it to stop comes from the kernel, too, when this process is killed.
        command = [*uwsgi.ending_with_this(signal.Signals(number).name[3:]), *command]
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
        return cls(process, name, asyncio.create_task(process.wait()))

    async def stop(self, number: int, patience: float) -> None:
        """Ask it to stop, and wait that many seconds; then let nothing of it be left."""
        if not self.ended.done():
            self.process.send_signal(number)
            await asyncio.wait([self.ended], timeout=patience)
        # A master that was killed leaves workers behind, and nginx's would hold the port.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.ended


async def _tell(command: str, environment: dict[str, str], say: control.Say, timeout: float) -> int:
    """Run one of our own commands, say what it says, and return its exit status.

    Raises:
        Refusal: it failed, or has not ended after that many seconds.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy", command),
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
    """nginx's configuration, as it was last written."""
    return {path: path.read_bytes() for path in (knobs.run_dir / "nginx").rglob("*.conf")}
