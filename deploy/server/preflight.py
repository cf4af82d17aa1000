"""Preflight: load all apps once in uWSGI, before each start and each rollout.

uWSGI runs with its usual command line and ``--no-server``: it binds no socket and starts no worker.
``worker.preflight`` loads the apps in it, publishes their static files and decides LOAD_APPS=auto.
An app that cannot be loaded is rejected, without an effect on the live instance.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from deploy.problems import Refusal
from deploy.server import data_dir, programs, uwsgi
from deploy.settings.knobs import Knobs

# Exit statuses of uWSGI with worker.preflight: the apps can be loaded once; they have to be loaded
# in each worker; one cannot be loaded (the reason is on standard error); one has closed descriptors
# of uWSGI.
_ONCE, EACH, REJECTED, CLOSED = 0, 3, 2, 4
# worker.preflight writes this to uWSGI's log before it loads the apps.
BEGUN = b"The apps are loaded now.\n"
# Signal for a stack trace on standard error.
WHERE = signal.SIGRTMIN + 1
# Seconds between two reports of progress, and for a stack trace.
_PROGRESS, _DUMP = 10, 1
_PR_SET_CHILD_SUBREAPER = 36  # see prctl(2)


def decide(knobs: Knobs) -> None:
    """Load the apps, and resolve LOAD_APPS=auto.

    Raises:
        Refusal: see ``run``.
        SystemExit: likewise.
    """
    if run(knobs) == EACH:
        knobs.environment["LOAD_APPS"] = "each"


def run(knobs: Knobs, *, publish: bool = True, error: int | None = None) -> int:
    """Load the apps of MOUNTS in uWSGI.

    Args:
        knobs: the settings of the start.
        publish: whether to publish the static files for nginx, and to make DATA_DIR.
        error: the file descriptor for messages, in place of standard error.

    Returns:
        0, or ``EACH`` if LOAD_APPS is auto and the apps are not fork-safe.

    Raises:
        Refusal: they cannot be loaded.
        SystemExit: likewise, and the reason is printed already.
    """
    if publish:
        data_dir.make(knobs)
    with (
        os.fdopen(os.memfd_create("uwsgi.log"), "w+b") as log,
        os.fdopen(os.dup(sys.stderr.fileno() if error is None else error), "wb", 0) as said,
        _no_process_left(),
    ):
        process = _start(knobs, log, said.fileno(), publish)
        status = _wait(process, int(knobs.environment["START_TIMEOUT"]), said)
        if status in (_ONCE, EACH):
            return status
        if status == REJECTED:
            raise SystemExit(status)
        if status == CLOSED:
            raise Refusal(
                "MOUNTS: loading the apps closed file descriptors of uWSGI, which include its"
                " listening socket; close only files that the app has opened (look for"
                " os.closerange(), or a library that makes daemons)."
            )
        log.seek(0)
        if not (lines := log.read()).endswith(BEGUN):
            said.write(lines)
            raise Refusal("uWSGI does not start; its log is above.")
        how = f"exit status {status}" if status > 0 else signal.Signals(-status).name
        raise Refusal(
            f"MOUNTS: loading the apps ended the process with {how}; remove the cause"
            " (os._exit(), a crash in a C extension)."
        )


def _start(knobs: Knobs, log: IO[bytes], error: int, publish: bool) -> subprocess.Popen:
    options = {"preflight-stderr": error, "preflight-publish": int(publish)}
    return subprocess.Popen(
        [
            *programs.ending_with_this("KILL"),
            *uwsgi.command(knobs),
            *("--no-server", "--shared-import", "deploy.server.loading"),
            *(word for name, value in options.items() for word in ("--set-ph", f"{name}={value}")),
        ],
        cwd=knobs.app_dir,
        env=uwsgi.variables(knobs, instance="preflight"),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[error],
        start_new_session=True,  # no terminal, which getpass() would ask
    )


def _wait(process: subprocess.Popen, timeout: int, said: IO[bytes]) -> int:
    """Wait for its exit status, and report progress.

    Raises:
        Refusal: it has not ended after ``timeout`` seconds.
    """
    for seconds in range(0, timeout, _PROGRESS):
        if seconds:
            print(f"deploy: Loading the apps: {seconds} s so far.", file=sys.stderr, flush=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(_PROGRESS, timeout - seconds))
    said.write(f"Traceback after {timeout} s:\n".encode())
    process.send_signal(WHERE)
    time.sleep(_DUMP)
    raise Refusal(
        f"MOUNTS: the apps are not loaded after START_TIMEOUT, {timeout} s; the stack trace above"
        " shows where they are: fix that, or raise START_TIMEOUT."
    )


@contextlib.contextmanager
def _no_process_left():
    """Kill all processes that the block has started, with their descendants."""
    before = _children()
    # Orphans of the block, such as daemons, become children of this process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        while left := _children() - before:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):  # Popen has waited for it
                    os.waitpid(pid, 0)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}
