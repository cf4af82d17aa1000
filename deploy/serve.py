"""``make serve``: nginx and uWSGI on this machine, in the foreground.

This module prepares RUN_DIR; ``site`` runs the two programs.
"""

import asyncio
import contextlib
import fcntl
import http.client
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy import check, logs, nginx, preflight, uwsgi
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal
from deploy.site import Site

# Directories in RUN_DIR that each start empties.
_EMPTIED = ("sockets", "static")


@logs.relayed()
def run(knobs: Knobs) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        The exit status: 0 when asked to stop, 1 when one of the servers ended by itself.

    Raises:
        Refusal: the port or the directory is taken, a program is missing, nginx does not accept its
            configuration, or `check` finds an error.
        SystemExit: an app cannot be loaded.
    """
    nginx_environment = nginx.environment(knobs)
    check.abort_on_errors(check.before_serving(knobs), check.report)
    refuse_port_in_use(knobs)
    if knobs.tls:
        refuse_port_in_use(knobs, "HTTPS_PORT")
    uwsgi.limit_open_files()
    with own_run_dir(knobs.run_dir):
        nginx.test(knobs, knobs.run_dir)
        preflight.decide(knobs)
        return asyncio.run(_serve(knobs, nginx_environment))


async def _serve(knobs: Knobs, nginx_environment: dict[str, str]) -> int:
    site = Site(knobs)
    # A shell ignores SIGINT and SIGQUIT in the background, and nginx's script could not trap them.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` ignores SIGHUP, the closed terminal, which nginx's script gets for a reload.
        ignored = number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
        asyncio.get_running_loop().add_signal_handler(
            number, (lambda: None) if ignored else site.stop
        )
    async with site.started(nginx_environment):
        if await site.until(lambda: _is_up(knobs)):
            for mount in knobs.mounts:
                # One write, also with PYTHONUNBUFFERED: the app may be printing.
                line = f"Serving {mount.target} at {_address(knobs)}{mount.prefix}/\n"
                print(line, end="", flush=True)
            await site.serve()
    if site.asked_to_stop:
        return 0
    print("deploy: one of the servers ended; the reason is above.", file=sys.stderr)
    return 1


def _is_up(knobs: Knobs) -> bool:
    """Whether nginx responds. It was started after the app, so the response is the app's."""
    connection = http.client.HTTPConnection(_reachable(knobs), knobs.http_port, timeout=5)
    try:
        connection.connect()
        if knobs.proxy_protocol:
            connection.sock.sendall(b"PROXY UNKNOWN\r\n")
        connection.request("GET", f"{knobs.mounts[0].prefix}/")
        connection.getresponse()
    except TimeoutError:
        return True  # nginx has accepted the request: a slow app is up
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _reachable(knobs: Knobs) -> str:
    """An address that clients can use in place of 0.0.0.0 or ::."""
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
    """Try to bind the listen address, with the port of this setting.

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


def unwritable(run_dir: Path, reason: str) -> str:
    """The error for a RUN_DIR that this user cannot write to."""
    return (
        f"RUN_DIR is {str(run_dir)!r}, which cannot be written ({reason}); set a directory of your"
        " own."
    )


def refuse_foreign(run_dir: Path) -> None:
    """Reject a RUN_DIR such as /etc, whose ``nginx`` must not be emptied.

    Raises:
        Refusal: it contains directories that no `serve` has created.
    """
    for name in ("nginx", *_EMPTIED):
        if (run_dir / name).exists() and not (run_dir / "lock").exists():
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, which contains a {name!r} of another program;"
                " set a directory that can be emptied."
            )


def refuse_shared(run_dir: Path) -> None:
    """Reject a RUN_DIR that other users may have prepared, with a lock, links or sockets.

    Raises:
        Refusal: another user can own RUN_DIR, or a directory or link in its path.
    """
    # The owner of the checkout can change the code as well.
    trusted = {0, os.geteuid(), PROJECT.stat().st_uid}
    for path in {run_dir, run_dir.resolve()}:
        for entry in (path, *path.parents):
            if not entry.exists() and not entry.is_symlink():
                continue
            squattable = entry == path or entry.parent.stat().st_mode & stat.S_IWOTH
            if squattable and (owner := entry.lstat().st_uid) not in trusted:
                raise Refusal(
                    f"RUN_DIR is {str(run_dir)!r}, and {entry} belongs to user {owner}, who could"
                    " put files of theirs there; remove it, or name a directory of your own."
                )
        if path.is_dir() and path.stat().st_mode & stat.S_IWOTH:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where every user of this machine can put files (mode"
                f" {stat.S_IMODE(path.stat().st_mode):04o}); name a directory of your own, such as"
                f" {str(run_dir / 'site')!r}."
            )


@contextlib.contextmanager
def own_run_dir(run_dir: Path) -> Iterator[None]:
    """Prepare and lock ``run_dir`` for the block.

    Raises:
        Refusal: it is locked, contains directories of other programs, or cannot be written to.
    """
    try:
        refuse_shared(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        refuse_shared(run_dir)  # it may have been made meanwhile
        refuse_foreign(run_dir)
        lock = (run_dir / "lock").open("w")
    except OSError as error:
        raise Refusal(unwritable(run_dir, error.strerror)) from None
    with lock:
        # `exec` keeps the lock.
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where another one is being served;"
                " stop that, or give this one a RUN_DIR and an HTTP_PORT of its own."
            ) from None
        # Leftovers of a killed server: this process has the lock.
        for name in _EMPTIED:
            shutil.rmtree(run_dir / name, ignore_errors=True)
        # Write access to a socket is code execution: 0750, for this user and its group.
        (run_dir / "sockets").mkdir(mode=0o750)
        (run_dir / "static").mkdir()
        try:
            yield
        finally:
            # No process listens on them.
            shutil.rmtree(run_dir / "sockets", ignore_errors=True)
            (run_dir / "control").unlink(missing_ok=True)
