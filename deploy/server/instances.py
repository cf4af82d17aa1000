"""State of the instances of uWSGI, for ``python -m deploy status``."""

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.problems import Refusal
from deploy.server import promotion
from deploy.settings import stacks

# Seconds for a stack trace, and between two looks at what is awaited.
_DUMP = 2
_POLL_INTERVAL = 0.05


@dataclass(frozen=True)
class Request:
    """A request that a thread handles.

    Args:
        thread: the number of the thread in its worker.
        line: method and path, without the query, which may contain secrets.
        id: X-Request-ID.
        seconds: since it was accepted.
    """

    thread: int
    line: str
    id: str
    seconds: int


@dataclass(frozen=True)
class Worker:
    """A worker of an instance.

    Args:
        number: from 1.
        pid: its process id, in its container.
        state: ``idle``, ``busy`` and so on.
        threads: how many it has.
        memory: RSS in bytes.
        since: when it was started, in seconds of the epoch.
        starts: how often it was started.
        handled: requests.
        running_time: of all requests, in seconds.
        requests: those that it handles now.
        stacks: of its threads, if they were requested.
    """

    number: int
    pid: int
    state: str
    threads: int
    memory: int
    since: int
    starts: int
    handled: int
    running_time: float
    requests: list[Request]
    stacks: str


@dataclass(frozen=True)
class Instance:
    """One uWSGI.

    Args:
        name: of its socket.
        live: whether it is live.
        live_since: when it went live, in seconds of the epoch; None when it is not live.
        queue: length of the listen backlog.
        queue_limit: its limit.
        mounts: requests by mount.
        workers: processes that run the app.
    """

    name: str
    live: bool
    live_since: float | None
    queue: int
    queue_limit: int
    mounts: dict[str, int]
    workers: list[Worker]

    @classmethod
    def parse(cls, line: str) -> "Instance":
        """From a line of ``show``."""
        found = json.loads(line)
        workers = [
            Worker(**worker | {"requests": [Request(**one) for one in worker["requests"]]})
            for worker in found["workers"]
        ]
        return cls(**found | {"workers": workers})


def look(sockets: Path, *, with_stacks: bool = False) -> list[Instance]:
    """The running instances, by their sockets in a directory."""
    live = promotion.live_instance(sockets)
    return [
        _instance(path, path.stem == live, with_stacks)
        for path in sorted(sockets.glob("*.sock"))
        if not path.is_symlink() and promotion.listens(path)
    ]


def show(*, with_stacks: bool = False) -> int:
    """Print the instances as JSON, one a line; the exit status is 0."""
    sockets, _ = promotion.here()
    for instance in look(sockets, with_stacks=with_stacks):
        print(json.dumps(asdict(instance)))
    return 0


def recycle(sockets: Path, number: int, timeout: float = 120) -> Iterator[str]:
    """Replace workers of the live instance gracefully, one after the other.

    Args:
        sockets: the directory with the sockets of all instances.
        number: of the worker; 0 for all.
        timeout: seconds for each of them.

    Yields:
        A line of progress for each.

    Raises:
        Refusal: nothing is live, or there is no such worker.
        TimeoutError: a worker was not replaced in time.
    """
    path = sockets / f"{promotion.live_instance(sockets)}.stats"
    try:
        workers = {worker["id"]: worker["pid"] for worker in read_stats(path)["workers"]}
    except OSError:
        raise Refusal("nothing is live here, so there is no worker to recycle.") from None
    if number and number not in workers:
        raise Refusal(f"there is no worker {number}; write a number from 1 to {len(workers)}.")
    for one in [number] if number else list(workers):
        with contextlib.suppress(ProcessLookupError):  # it is being replaced
            os.kill(workers[one], signal.SIGTERM)
        late = time.monotonic() + timeout
        while not _is_replaced(read_stats(path), one, workers[one]):
            if time.monotonic() > late:
                raise TimeoutError(f"worker {one} was not replaced within {timeout:g} seconds")
            time.sleep(_POLL_INTERVAL)
        yield f"Worker {one} was replaced."


def _is_replaced(stats: dict[str, Any], number: int, pid: int) -> bool:
    worker = next(worker for worker in stats["workers"] if worker["id"] == number)
    return worker["pid"] not in {0, pid} and worker["accepting"] == 1


def read_stats(path: Path) -> dict[str, Any]:
    """The stats of an instance, from its stats server."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.settimeout(5)
        stats.connect(str(path))
        return json.loads(stats.makefile("rb").read())


def _instance(path: Path, live: bool, with_stacks: bool) -> Instance:
    since = path.with_name("live.sock").lstat().st_mtime if live else None
    stats = read_stats(path.with_suffix(".stats"))
    return from_stats(path.stem, stats, since, with_stacks=with_stacks)


def from_stats(
    name: str, stats: dict[str, Any], live_since: float | None, *, with_stacks: bool = False
) -> Instance:
    """An instance, from what its stats server responds."""
    mounts: dict[str, int] = {}
    for app in (app for worker in stats["workers"] for app in worker["apps"]):
        mount = app["mountpoint"] or "/"
        mounts[mount] = mounts.get(mount, 0) + app["requests"]
    return Instance(
        name=name,
        live=live_since is not None,
        live_since=live_since,
        queue=stats["sockets"][-1]["queue"],  # the first one is for healthchecks
        queue_limit=stats["sockets"][-1]["max_queue"],
        mounts=mounts,
        workers=[_worker(worker, with_stacks) for worker in stats["workers"] if worker["pid"] > 0],
    )


def _worker(worker: dict[str, Any], with_stacks: bool) -> Worker:
    return Worker(
        number=worker["id"],
        pid=worker["pid"],
        state=worker["status"],
        threads=len(worker["cores"]),
        memory=worker["rss"],
        since=worker["last_spawn"],
        starts=worker["respawn_count"],
        handled=worker["requests"],
        running_time=worker["running_time"] / 1e6,
        requests=[_request(core) for core in worker["cores"] if core["in_request"]],
        stacks=_stacks(worker["pid"]) if with_stacks else "",
    )


def _request(core: dict[str, Any]) -> Request:
    environ = dict(var.partition("=")[::2] for var in core["vars"])
    path = environ.get("REQUEST_URI", "").partition("?")[0]
    return Request(
        thread=core["id"],
        line=f"{environ.get('REQUEST_METHOD', '')} {path}",
        id=environ.get("HTTP_X_REQUEST_ID", ""),
        seconds=max(0, int(time.time()) - core["req_info"].get("request_start", int(time.time()))),
    )


def _stacks(pid: int) -> str:
    """The stack traces of the app's threads in a worker: see ``deploy/worker/stacks.py``."""
    try:
        # By default, the signal ends a process.
        if not _is_caught(stacks.SIGNAL, pid):
            return ""
        memory = next(
            link
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if str(link.readlink()).startswith(f"/memfd:{stacks.MEMORY} ")
        )
        with memory.open("r+b") as file:
            file.truncate(0)
            os.kill(pid, stacks.SIGNAL)
            before, late = b"", time.monotonic() + _DUMP
            while time.monotonic() < late:
                time.sleep(_POLL_INTERVAL)
                file.seek(0)
                text = file.read()
                if text and text == before:
                    break
                before = text
    except (OSError, StopIteration):  # it has just ended, or the app has closed the descriptor
        return ""
    threads = text.decode(errors="replace").split("\n\n")
    return "\n\n".join(thread for thread in threads if _is_the_apps(thread)).rstrip()


def _is_the_apps(thread: str) -> bool:
    """Whether a stack trace is of a thread that is in the app."""
    frames = [line for line in thread.splitlines() if line.startswith("  File ")]
    # Not those of this bundle, nor the main thread while uWSGI waits for a request there.
    idle = '/bin/uwsgi", line '
    return bool(frames) and idle not in frames[0] and "/deploy/worker/" not in frames[-1]


def _is_caught(number: int, pid: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)[1], 16)
    return bool(caught & 1 << (number - 1))
