"""Supervisor of the Procfile's processes, in ``serve`` and in a container of their own.

Each process has a name such as ``worker.1`` and a lock of that name, which it holds until it and
its children have exited. The next release's process waits for the lock, so two never run at once,
whichever process is killed.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from deploy.server import data_dir, logs, process_states, programs, spool, uwsgi
from deploy.server.process_states import ProcessState
from deploy.settings import environment, procfile
from deploy.settings.knobs import Knobs
from deploy.settings.procfile import Process

# Files with problems, one a line: a container's, for its healthcheck in services.yml, and `serve`'s
# in RUN_DIR.
CONTAINERS_REPORT = Path("/tmp/processes")
HOSTS_REPORT = Path("processes", "report")
# Seconds after which a process has started, and after which one that ends restarts at once.
_STARTED, _STEADY = 5, 60
# Seconds between two attempts to get a lock, and the longest delay before a restart.
_POLL_INTERVAL, _LONGEST_DELAY = 0.1, 60
# Seconds to wait for the last lines of a process that was killed.
_PATIENCE = 5
# Bytes after which a line of a log is written without its end.
_LONGEST_LINE = 1024**2


@logs.relayed()
def run(knobs: Knobs) -> int:
    """Run the processes in a container, until SIGTERM.

    Returns:
        The exit status, 0.
    """
    data_dir.make(knobs)
    if directory := spool.own(knobs.run_dir, socket.gethostname()):
        knobs.environment["TMPDIR"] = str(directory)
    programs.limit_open_files()
    asyncio.run(_run(knobs))
    return 0


async def _run(knobs: Knobs) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    processes = Processes(knobs, CONTAINERS_REPORT)
    processes.start()
    await asked.wait()
    await processes.stop()


class Processes:
    """The processes of one release.

    Args:
        knobs: the settings, with the processes.
        report: the file for their problems, one a line; empty while all are up.
    """

    def __init__(self, knobs: Knobs, report: Path) -> None:
        self._report = report
        self._slots = [_Slot(process, knobs, self._write) for process in knobs.processes]
        self._tasks: list[asyncio.Task[None]] = []
        self._locks = knobs.run_dir / "processes"
        seconds = int(knobs.environment["PROCESSES_STOP_TIMEOUT"])
        self.stop_timeout = seconds + 10 if self._slots else 0

    def start(self) -> None:
        """Start them; each waits until its predecessor of the same name has exited."""
        self._locks.mkdir(mode=0o750, exist_ok=True)
        process_states.prune(self._locks, {slot.name for slot in self._slots})
        self._write()
        self._tasks = [asyncio.create_task(slot.run()) for slot in self._slots]

    async def stop(self) -> None:
        """Send SIGTERM to all, and wait until they have exited; SIGKILL after the stop timeout."""
        for slot in self._slots:
            slot.stop()
        await asyncio.gather(*self._tasks)

    async def problem(self, timeout: float) -> str:
        """Wait until all have started or one has ended; the first problem, empty if all are up."""
        late = time.monotonic() + timeout
        while waiting := [slot for slot in self._slots if slot.problem]:
            worst = max(waiting, key=lambda slot: slot.ends)
            if worst.ends or time.monotonic() > late:
                return worst.problem
            await asyncio.sleep(_POLL_INTERVAL)
        return ""

    def _write(self) -> None:
        # Renamed, so that a healthcheck never reads half of it.
        new = self._report.with_suffix(".new")
        new.write_text("".join(f"{slot.problem}\n" for slot in self._slots if slot.problem))
        new.replace(self._report)


class _Slot:
    """One name, whose process is started again when it ends."""

    def __init__(self, process: Process, knobs: Knobs, changed: Callable[[], None]) -> None:
        self._process = process
        self._changed = changed
        self._lock = knobs.run_dir / "processes" / f"{process.name}.lock"
        self._stop_timeout = int(knobs.environment["PROCESSES_STOP_TIMEOUT"])
        self._stop = asyncio.Event()
        self._has_lock = False
        self.problem = f"{process.name} starts."
        self.ends = 0
        self._directory = knobs.app_dir
        programs_of_the_app = environment.program("python").parent
        path = f"{programs_of_the_app}:{knobs.environment.get('PATH', os.defpath)}"
        # Lines reach the log when they are written, and PS is foreman's name for the process.
        own = {"PATH": path, "PS": process.name, "PYTHONUNBUFFERED": "1"}
        self._environment = uwsgi.variables(knobs, process.name) | own
        self._as_json = self._environment["LOG_FORMAT"] == "json"

    @property
    def name(self) -> str:
        return self._process.name

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        with self._lock.open("a") as lock:
            if await self._is_locked(lock):
                self._has_lock = True
                self._write_state()
                await self._keep_running(lock)
                process_states.remove(self._process.name, self._lock.parent)

    async def _is_locked(self, lock: IO[str]) -> bool:
        while not self._stop.is_set():
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._found(f"{self._process.name} starts.")
                return True
            self._found(f"{self._process.name} waits until its predecessor has exited.")
            await asyncio.sleep(_POLL_INTERVAL)
        return False

    async def _keep_running(self, lock: IO[str]) -> None:
        soon = 0  # ends that came soon after the start, in a row
        while not self._stop.is_set():
            begin = time.monotonic()
            how = await self._run_once(lock)
            lasted = time.monotonic() - begin
            if self._stop.is_set():
                return
            soon = soon + 1 if lasted < _STEADY else 0
            delay = min(2**soon, _LONGEST_DELAY)
            self.ends += 1
            self._found(
                f"{self._process.name} ended with {how} after {lasted:.0f} s and is restarted in"
                f" {delay} s; the Procfile's command is: {self._process.command}"
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)

    async def _run_once(self, lock: IO[str]) -> str:
        """Run the process until it ends or is stopped; how it has ended."""
        log = await _Log.open(self._process.name, as_json=self._as_json)
        try:
            process = await asyncio.create_subprocess_exec(
                # The kernel sends the signal when this process is killed.
                *(*programs.ending_with_this("TERM"), *procfile.shell(self._process.command)),
                cwd=self._directory,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log.pipe,
                stderr=log.pipe,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        finally:
            os.close(log.pipe)
        loop = asyncio.get_running_loop()
        started = loop.call_later(_STARTED, self._found, "")
        ended, stop = asyncio.create_task(process.wait()), asyncio.create_task(self._stop.wait())
        await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        late = loop.time() + self._stop_timeout
        if not ended.done():
            # Not to its children: workers of Celery and RQ would abort their tasks.
            process.send_signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=self._stop_timeout)
        # What is left, if the process was a shell, for instance.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            patience = max(late - loop.time(), 0) if number == signal.SIGTERM else _PATIENCE
            await asyncio.wait([log.ended], timeout=patience)
        stop.cancel()
        status = await ended
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def _found(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                _write(f"deploy: {problem}\n".encode())
            if self._has_lock:
                self._write_state()
            self._changed()

    def _write_state(self) -> None:
        state = ProcessState(self._process.name, not self.problem, self.ends)
        state.write(self._lock.parent)


class _Log(asyncio.Protocol):
    """Writes the lines of a process to standard output, each with the name of the process.

    With LOG_FORMAT=json, each line is an object with the name as ``process``.

    ``ended`` is done when the last process has closed the other end.
    """

    def __init__(self, name: str, *, as_json: bool) -> None:
        self._name, self._as_json = name, as_json
        self._line = b""
        self.ended = asyncio.get_running_loop().create_future()
        self.pipe = -1

    @classmethod
    async def open(cls, name: str, *, as_json: bool) -> "_Log":
        """A log, with a pipe that the caller has to close."""
        reading, writing = os.pipe()
        _, log = await asyncio.get_running_loop().connect_read_pipe(
            lambda: cls(name, as_json=as_json), os.fdopen(reading, "rb", 0)
        )
        log.pipe = writing
        return log

    def data_received(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            lines.append(self._line)
            self._line = b""
        _write(b"".join(map(self._named, lines)))

    def _named(self, line: bytes) -> bytes:
        text = line.decode(errors="replace")
        if not self._as_json:
            return f"{self._name} | {text}\n".encode()
        found = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "message": text}
        with contextlib.suppress(ValueError):
            if isinstance(own := json.loads(text), dict):
                found = {"time": found["time"]} | own
        return f"{json.dumps(found | {'process': self._name})}\n".encode()

    def connection_lost(self, error: Exception | None) -> None:
        if self._line:
            self.data_received(b"\n")
        self.ended.set_result(None)


def _write(lines: bytes) -> None:
    with contextlib.suppress(OSError):  # nothing reads the log any more
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
