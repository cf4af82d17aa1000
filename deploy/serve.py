"""nginx and uWSGI on this machine, in the foreground: ``make serve``.

Two programs are started and watched, nothing more. When either ends, so does the other. When
asked to stop, nginx goes first and finishes what it has accepted, then uWSGI does the same. (A
ready-made supervisor sends everybody SIGTERM at once, on which nginx drops its requests.)
"""

import asyncio
import contextlib
import fcntl
import http.client
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy import nginx, uwsgi
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal

# What each start begins anew, in RUN_DIR.
_EMPTIED = ("sockets", "static")
# Seconds between two looks at a server that is starting.
_PAUSE = 0.05


def run(knobs: Knobs) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        The exit status: 0 when asked to stop, 1 when one of the servers ended by itself.

    Raises:
        Refusal: the port or the directory is taken, a program is missing, or nginx does not
            accept its configuration.
        SystemExit: an app cannot be loaded.
    """
    nginx_environment = nginx.environment(knobs)
    refuse_port_in_use(knobs)
    if knobs.tls:
        refuse_port_in_use(knobs, "HTTPS_PORT")
    with own_run_dir(knobs.run_dir):
        nginx.test(knobs, knobs.run_dir)
        uwsgi.preflight(knobs)
        return asyncio.run(_serve(knobs, nginx_environment))


async def _serve(knobs: Knobs, nginx_environment: dict[str, str]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asked_to_stop = asyncio.create_task(stop.wait())

    # A session of its own for each: Ctrl-C in a terminal reaches this process alone, which then
    # stops the two in the right order.
    app = await asyncio.create_subprocess_exec(
        *uwsgi.command(knobs),
        cwd=PROJECT,
        env=uwsgi.environment(knobs, instance="app"),
        start_new_session=True,
    )
    app_ended = asyncio.create_task(app.wait())
    front = front_ended = None
    try:
        live = knobs.run_dir / "sockets" / "live.sock"
        if not await _until(live.exists, app_ended, asked_to_stop):
            return 0 if stop.is_set() else 1
        front = await asyncio.create_subprocess_exec(
            *nginx.command(knobs.run_dir), env=nginx_environment, start_new_session=True
        )
        front_ended = asyncio.create_task(front.wait())
        if await _until(lambda: _answers(knobs), app_ended, front_ended, asked_to_stop):
            for mount in knobs.mounts:
                print(f"Serving {mount.target} at {_address(knobs)}{mount.prefix}/", flush=True)
            await asyncio.wait(
                (app_ended, front_ended, asked_to_stop), return_when=asyncio.FIRST_COMPLETED
            )
    finally:
        if front and front.returncode is None:
            front.send_signal(signal.SIGQUIT)
            await front_ended
        if app.returncode is None:
            app.terminate()
            await app_ended
        for server in filter(None, (front, app)):
            # A master that was killed leaves workers behind, and nginx's would hold the port.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
    if stop.is_set():
        return 0
    print("deploy: one of the servers ended; the reason is above.", file=sys.stderr)
    return 1


async def _until(condition, *ends: asyncio.Task) -> bool:
    """Wait until ``condition()`` is true. False when one of the tasks is done before that."""
    while not any(task.done() for task in ends):
        if await asyncio.to_thread(condition):
            return True
        await asyncio.wait(ends, timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
    return False


def _answers(knobs: Knobs) -> bool:
    """Whether nginx answers. It was started after the app, so what it says then is the app's."""
    connection = http.client.HTTPConnection(_reachable(knobs), knobs.http_port, timeout=5)
    try:
        connection.connect()
        if knobs.proxy_protocol:
            connection.sock.sendall(b"PROXY UNKNOWN\r\n")
        connection.request("GET", f"{knobs.mounts[0].prefix}/")
        connection.getresponse()
    except TimeoutError:
        return True  # it took the request: an app that is slow to answer is a served one
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _reachable(knobs: Knobs) -> str:
    """An address to reach this machine at: 0.0.0.0 and :: mean all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(knobs.http_address, knobs.http_address)


def _address(knobs: Knobs) -> str:
    host = _reachable(knobs)
    host = {"127.0.0.1": "localhost", "::1": "localhost"}.get(host, host)
    host = f"[{host}]" if ":" in host else host
    scheme, port, usual = "http", knobs.http_port, 80
    if knobs.tls:
        scheme, port, usual = "https", knobs.https_port, 443
    return f"{scheme}://{host}" + ("" if port == usual else f":{port}")


def refuse_port_in_use(knobs: Knobs, name: str = "HTTP_PORT") -> None:
    """Try the address that is to be served, at the port that this knob names.

    Raises:
        Refusal: something else listens there, or it is not an address of this machine.
    """
    port = int(knobs.environment[name])
    family = socket.AF_INET6 if ":" in knobs.http_address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((knobs.http_address, port))
            probe.listen()
        except OSError as error:
            raise Refusal(
                f"{name} is {port} on HTTP_ADDRESS {knobs.http_address}, which cannot"
                f" be used ({error.strerror}); choose another port, or stop what listens there."
            ) from None


def _refuse_foreign(run_dir: Path) -> None:
    """Keep out of a folder such as /etc, whose ``nginx`` is not ours to empty."""
    for name in ("nginx", *_EMPTIED):
        if (run_dir / name).exists() and not (run_dir / "lock").exists():
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, which has a {name!r} of somebody else in it;"
                " name a folder that can be emptied."
            )


@contextlib.contextmanager
def own_run_dir(run_dir: Path) -> Iterator[None]:
    """Make ``run_dir`` ready for this start, and keep others out of it until the block ends.

    Raises:
        Refusal: another one serves from it, it has other things in it, or it cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(run_dir)
        lock = (run_dir / "lock").open("w")
    except OSError as error:
        raise Refusal(
            f"RUN_DIR is {str(run_dir)!r}, which cannot be written ({error.strerror});"
            " name a folder of your own."
        ) from None
    with lock:
        # A server that takes this process's place goes on holding it.
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where another one is being served;"
                " stop that, or give this one a RUN_DIR and an HTTP_PORT of its own."
            ) from None
        # With the lock held, what lies here is a leftover of one that was killed.
        for name in _EMPTIED:
            shutil.rmtree(run_dir / name, ignore_errors=True)
        # Whoever may write to a socket in it can run code: 0750, this user and its group.
        (run_dir / "sockets").mkdir(mode=0o750)
        (run_dir / "static").mkdir()
        yield
