"""``make serve``: nginx and uWSGI on this machine, in the foreground.

This module prepares RUN_DIR; ``site`` runs the two programs.
"""

import asyncio
import http.client
import os
import signal
import sys
from collections.abc import Iterator

from deploy.install import here
from deploy.release.site import Site
from deploy.server import logs, nginx, preflight, programs, run_dir, starts
from deploy.settings.knobs import Knobs


def run(knobs: Knobs) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        The exit status: 0 when asked to stop, 1 when one of the servers ended by itself.

    Raises:
        Refusal: the port or the directory is taken, a program is missing, nginx does not accept its
            configuration, or `check` finds an error.
        SystemExit: an app cannot be loaded.
    """
    with logs.relayed(knobs.environment):
        return _run(knobs)


def _run(knobs: Knobs) -> int:
    here.refuse_outdated(knobs.app_dir)
    nginx_environment = nginx.environment(knobs)
    starts.abort_on_errors(starts.before_serving(knobs), starts.report)
    programs.refuse_port_in_use(knobs)
    if knobs.tls:
        programs.refuse_port_in_use(knobs, "HTTPS_PORT")
    programs.limit_open_files()
    with run_dir.own(knobs.run_dir):
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
            if os.environ["LOG_FORMAT"] == "text":
                print("".join(f"{line}\n" for line in _summary(knobs)), end="", flush=True)
            await site.serve()
    if site.asked_to_stop:
        return 0
    print("deploy: one of the servers ended; the reason is above.", file=sys.stderr)
    return 1


def _summary(knobs: Knobs) -> Iterator[str]:
    """What runs where, for a person."""
    given = knobs.environment
    yield f"  Workers:   {knobs.workers} of {given['THREADS']} threads each"
    if knobs.processes:
        yield f"  Processes: {' '.join(process.name for process in knobs.processes)}"
    yield f"  Data:      {knobs.data_dir}"
    if knobs.metrics_port:
        address = given["METRICS_ADDRESS"]
        host = f"[{address}]" if ":" in address else address
        yield f"  Status:    http://{host}:{knobs.metrics_port}/"
    else:
        yield "  Status:    python3 -m deploy status"
    yield "  New code:  python3 -m deploy rollout; stop with Ctrl-C"


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
