"""Starting uWSGI: the same command line on a laptop, in a container and under systemd."""

import contextlib
import os
import shutil
import subprocess
from dataclasses import replace

from deploy.problems import Refusal
from deploy.server import logs, programs, run_dir
from deploy.settings import debugging
from deploy.settings import environment as app_environment
from deploy.settings.knobs import PROJECT, Knobs
from deploy.settings.mounts import Mount

# uWSGI's maximum (bind_to_unix() in core/socket.c).
_LONGEST_SOCKET_PATH = 102
_SWITCHES = {"UWSGI_DEBUG", "FLASK_DEBUG", "SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT"}


def command(knobs: Knobs, section: str = "uwsgi") -> list[str]:
    """The command that starts uWSGI.

    Args:
        knobs: the knobs of this start.
        section: the section of ``uwsgi.ini``: ``uwsgi``, or ``local`` for one without nginx.
    """
    program = app_environment.program("uwsgi")
    mounts = knobs.mounts
    if knobs.debugger:
        mounts = _named_by("deploy.worker.debugged", mounts)  # no other code names that module
    elif knobs.environment["WARM_UP_PATH"]:
        mounts = _named_by("deploy.worker.warm_up", mounts)
    if section == "local" and all(mount.prefix for mount in mounts):
        # Without nginx, which responds with 404. uWSGI would with 500.
        mounts = [*mounts, Mount("/", "deploy.worker.outside:app")]
    options = [word for mount in mounts for word in ("--mount", mount.uwsgi_option)]
    return [str(program), "--ini", f"{PROJECT / 'uwsgi.ini'}:{section}", *options]


def _named_by(module: str, mounts: list[Mount]) -> list[Mount]:
    """The mounts of the apps that a module of this bundle has by the names app_0, app_1, ..."""
    return [replace(mount, target=f"{module}:app_{n}") for n, mount in enumerate(mounts)]


def environment(knobs: Knobs, instance: str) -> dict[str, str]:
    """The environment of that command, when there is a directory for its socket.

    With the debugger on, its private directory is made, too.

    Args:
        knobs: the knobs of this start.
        instance: names this instance's socket; no other instance that runs may have it.
    """
    sockets = knobs.run_dir / "sockets"
    debugger = debugging.directory(sockets, instance)
    # Each worker has a socket there, with its process id for a name.
    longest = debugger / "4194304" if knobs.debugger else sockets / f"{instance}.stats"
    if len(os.fsencode(longest)) > _LONGEST_SOCKET_PATH:
        raise Refusal(
            f"RUN_DIR is {str(knobs.run_dir)!r}, too long for the path of a unix socket;"
            " choose a shorter one."
        )
    run_dir.refuse_open_sockets(sockets)
    if knobs.debugger:
        debugging.prepare(debugger, knobs.environment["WERKZEUG_DEBUG_PIN"])
    given = variables(knobs, instance)
    if knobs.metrics_port:
        # Of the app's own metrics: the multiprocess mode of prometheus_client.
        directory = knobs.run_dir / "metrics" / instance
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, mode=0o770)
        given["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        (directory / "release").write_text(_release(knobs))
    return given


def _release(knobs: Knobs) -> str:
    """The release, as in Sentry; empty if there is none."""
    if own := knobs.environment.get("SENTRY_RELEASE"):
        return own
    image = PROJECT / "deploy" / ".release"
    if image.exists():
        return image.read_text().strip()
    command = ["git", "-C", str(knobs.app_dir), "rev-parse", "--short=12", "HEAD"]
    with contextlib.suppress(OSError):  # no Git
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def variables(knobs: Knobs, instance: str) -> dict[str, str]:
    """The environment of that command, whether or not there is a directory for its socket."""
    given = knobs.environment | {
        "INSTANCE": instance,
        "SOCKETS": str(knobs.run_dir / "sockets"),
        "PYTHON": str(app_environment.program("python")),
    }
    # uWSGI would tell systemd in the name of the service that it is ready.
    given.pop("NOTIFY_SOCKET", None)
    given.pop("WERKZEUG_DEBUG_PIN", None)  # it is in the private directory
    # Unset if switched off: uWSGI and Flask also react to an empty variable.
    return {name: text for name, text in given.items() if text or name not in _SWITCHES}


def prepare(
    knobs: Knobs, instance: str, section: str = "uwsgi"
) -> tuple[list[str], dict[str, str]]:
    """Get this process ready to become uWSGI; the command and its environment.

    Raises:
        Refusal: uWSGI is missing, or there is no directory for its sockets.
    """
    programs.limit_open_files()
    # Missing in a container with one volume for all of RUN_DIR.
    with contextlib.suppress(OSError):
        (knobs.run_dir / "sockets").mkdir(mode=0o750)
    os.chdir(knobs.app_dir)
    return command(knobs, section), environment(knobs, instance)


def become(arguments: list[str], environment: dict[str, str]) -> None:
    """Replace this process by uWSGI, or by the relay of its log, which passes signals on."""
    if logs.need_relay(environment):
        arguments = [logs.RELAY, *programs.ending_with_this("TERM"), *arguments]
    os.execve(arguments[0], arguments, environment)
