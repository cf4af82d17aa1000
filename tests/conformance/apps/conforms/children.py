"""Child processes and signals. Children carry a word of their own in their command line."""

import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

from flask import Blueprint, request

from .shared import NOTES

bp = Blueprint("children", __name__)
SECONDS = 30
SELF = "conformance"


def work(number: int) -> int:
    return number * number


def put(queue, number: int) -> None:
    queue.put(work(number))


def fail(number: int) -> None:
    raise ValueError(f"{number} in a child")


@bp.get("/processes")
def processes() -> dict[int, str]:
    """Each process of this site, with its command line; one that has ended is none."""
    wanted = f"CONFORMANCE_SITE={os.environ['CONFORMANCE_SITE']}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if state != "Z" and wanted in variables:
            found[int(folder.name)] = command.decode(errors="replace")
    return found


def _run(command: str, **options) -> str:
    done = subprocess.run(
        shlex.split(command),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )
    return f"{done.returncode} {done.stdout}{done.stderr}"


def _python(code: str, **options) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, **options
    )
    return f"{done.returncode} {done.stdout}{done.stderr[-200:]}"


def _ends_with(number: int) -> str:
    child = subprocess.Popen(["sleep", "300"])
    child.send_signal(number)
    try:
        return str(child.wait(SECONDS))
    except subprocess.TimeoutExpired:
        child.kill()
        return "still runs"


def _status(name: str) -> str:
    text = _run("cat /proc/self/status")
    found = int(re.search(rf"^{name}:\s*(\S+)$", text, re.MULTILINE)[1], 16)
    # Signals 32 and 33 are the C library's: a process inherits them and cannot set them.
    return f"{found & ~(1 << 31 | 1 << 32):016x}"


def _method(name: str) -> str:
    context = multiprocessing.get_context(name)
    queue = context.Queue()
    child = context.Process(target=put, args=(queue, 7))
    child.start()
    number = queue.get(timeout=SECONDS)
    child.join(SECONDS)
    return f"{number} {child.exitcode}"


def _terminated(name: str) -> str:
    child = multiprocessing.get_context(name).Process(target=signal.pause)
    child.start()
    child.terminate()
    child.join(SECONDS)
    return str(child.exitcode)


def _pool(name: str) -> str:
    with multiprocessing.get_context(name).Pool(2) as pool:
        return str(pool.map_async(work, range(5)).get(SECONDS))


def _closed_pool() -> str:
    pool = multiprocessing.get_context("fork").Pool(2)
    numbers = pool.map_async(work, range(5)).get(SECONDS)
    pool.close()
    pool.join()
    return str(numbers)


def _executor(name: str) -> str:
    context = multiprocessing.get_context(name)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        return str(list(pool.map(work, range(5), timeout=SECONDS)))


def _executor_error() -> str:
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return str(pool.submit(fail, 3).result(SECONDS))
        except ValueError as error:
            return str(error)


def _manager() -> str:
    with multiprocessing.get_context("fork").Manager() as manager:
        return str(dict(manager.dict(a=1)))


def _forked() -> str:
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.write(writer, b"from the child")
        os._exit(7)
    os.close(writer)
    said = os.read(reader, 100)
    os.close(reader)
    return f"{said} {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}"


def _descriptors() -> str:
    """What a child gets that closes nothing itself."""
    listed = _run("ls /proc/self/fd", close_fds=False)
    return str(sorted(int(word) for word in listed.split()[1:] if int(word) > 3))


async def _async_run() -> str:
    child = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(child.communicate(), SECONDS)
    return f"{child.returncode} {out}"


def _timeout_expired() -> str:
    try:
        subprocess.run(["sleep", "300"], timeout=0.2)
    except subprocess.TimeoutExpired:
        return "expired"
    return "ended"


def _handler() -> str:
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    except ValueError:
        return "only in the main thread"
    return "set"


def _talk() -> str:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return str(child.communicate(b"there and back" * 10_000, timeout=SECONDS)[0][-8:])


def _group() -> str:
    """A whole process group is ended."""
    child = subprocess.Popen(["sh", "-c", "sleep 300 & sleep 300"], start_new_session=True)
    os.killpg(child.pid, signal.SIGTERM)
    return str(child.wait(SECONDS))


ALARM = "import signal, time; signal.alarm(1); time.sleep(60)"
HANDLED = (
    "import os, signal; signal.signal(signal.SIGTERM, lambda *_: print('handled', flush=True));"
    "os.kill(os.getpid(), signal.SIGTERM); print('end')"
)
TRAP = "trap 'echo trapped; exit 3' TERM; kill -TERM $$; sleep 30"
CHILDREN = {
    "run": lambda: _run("echo out"),
    "exit-status": lambda: _run("sh -c 'exit 42'"),
    "shell": lambda: str(subprocess.getstatusoutput("printf 'b\\na\\n' | sort | head -n 1")),
    "os-system": lambda: str(os.waitstatus_to_exitcode(os.system("exit 3"))),
    "popen": lambda: os.popen("echo popen").read(),
    "not-found": lambda: _run("sh -c no-such-program-here").split(" ", 1)[0],
    "terminate": lambda: _ends_with(signal.SIGTERM),
    "kill": lambda: _ends_with(signal.SIGKILL),
    "interrupt": lambda: _ends_with(signal.SIGINT),
    "hangup": lambda: _ends_with(signal.SIGHUP),
    "user-signal": lambda: _ends_with(signal.SIGUSR1),
    "timeout": lambda: _run("timeout 0.5 sleep 60"),
    "timeout-expired": _timeout_expired,
    "alarm": lambda: _python(ALARM),
    "handler": lambda: _python(HANDLED),
    "trap": lambda: _run(f"sh -c {shlex.quote(TRAP)}"),
    "blocked": lambda: _status("SigBlk"),
    "ignored": lambda: _status("SigIgn"),
    "broken-pipe": lambda: _run("bash -c 'yes | head -n 1; echo ${PIPESTATUS[0]}'"),
    "own-mask": lambda: str(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "descriptors": _descriptors,
    "stdin": lambda: _python("import sys; print(repr(sys.stdin.read()))"),
    "stdin-pipe": _talk,
    "directory": lambda: str(_run("pwd") == f"0 {Path.cwd()}\n"),
    "variable": lambda: _run("sh -c 'echo $ENV_PLAIN'"),
    "own-variable": lambda: _run("sh -c 'echo $A'", env={**os.environ, "A": "mine"}),
    "python": lambda: _python("import flask, sys; print(flask.__name__, len(sys.argv))"),
    "python-module": lambda: _run(f"{sys.executable} -m flask --help").split("\n")[0],
    "flask-command": lambda: _run(f"{sys.executable} -m flask --app conforms routes").split(" ")[0],
    "fork": _forked,
    "fork-process": lambda: _method("fork"),
    "spawn-process": lambda: _method("spawn"),
    "forkserver-process": lambda: _method("forkserver"),
    "fork-terminated": lambda: _terminated("fork"),
    "spawn-terminated": lambda: _terminated("spawn"),
    "fork-pool": lambda: _pool("fork"),
    "spawn-pool": lambda: _pool("spawn"),
    "forkserver-pool": lambda: _pool("forkserver"),
    "closed-pool": _closed_pool,
    "fork-executor": lambda: _executor("fork"),
    "spawn-executor": lambda: _executor("spawn"),
    "executor-error": _executor_error,
    "manager": _manager,
    "async": lambda: asyncio.run(_async_run()),
    "set-handler": _handler,
    "group": _group,
    "parent": lambda: str(multiprocessing.parent_process()),
    "main-process": lambda: multiprocessing.current_process().name,
    "session": lambda: str(os.getsid(0) > 0),
}


@bp.get("/child/<name>")
def child(name: str) -> str:
    return CHILDREN[name]()


@bp.get("/child-many/<name>")
def many(name: str) -> str:
    """Several in one process at the same time."""
    times = int(request.args["n"])
    with concurrent.futures.ThreadPoolExecutor(times) as pool:
        return json.dumps(sorted(set(pool.map(lambda _: CHILDREN[name](), range(times)))))


@bp.get("/detached/<token>")
def detached(token: str) -> str:
    """A child that outlives its request, and then ends by itself."""
    code = f"sleep 0.2; printf x >>{shlex.quote(str(NOTES / token))}"
    subprocess.Popen(["sh", "-c", code], start_new_session=True)
    return "started"


@bp.get("/detached-done/<token>")
def detached_done(token: str) -> str:
    pause = threading.Event()
    for _ in range(SECONDS * 20):
        if (NOTES / token).exists():
            return "done"
        pause.wait(0.05)
    return "not done"
