"""Starting uWSGI: the same command line on a laptop, in a container and under systemd."""

import contextlib
import os
import resource
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

from deploy import debugging, logs
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal

# uWSGI's maximum (bind_to_unix() in core/socket.c).
_LONGEST_SOCKET_PATH = 102
_SWITCHES = {"UWSGI_DEBUG", "FLASK_DEBUG"}
# Limit of open files. uWSGI allocates memory for each that the system allows, and closes each
# before it starts a program; container engines may allow a billion.
_OPEN_FILES = 16_384


def command(knobs: Knobs, section: str = "uwsgi") -> list[str]:
    """The command that starts uWSGI.

    Args:
        knobs: the knobs of this start.
        section: the section of ``uwsgi.ini``: ``uwsgi``, or ``local`` for one without nginx.
    """
    program = Path(sys.executable).with_name("uwsgi")
    if not program.exists():
        raise Refusal(f"{program} does not exist; install requirements.txt with this Python.")
    mounts = knobs.mounts
    if knobs.debugger:
        # The wrapped app. No other code names that module.
        mounts = [
            replace(mount, target=f"deploy.worker.debugged:app_{number}")
            for number, mount in enumerate(mounts)
        ]
    options = [word for mount in mounts for word in ("--mount", mount.uwsgi_option)]
    return [str(program), "--ini", f"{PROJECT / 'uwsgi.ini'}:{section}", *options]


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
    refuse_open_sockets(sockets)
    if knobs.debugger:
        debugging.prepare(debugger, knobs.environment["WERKZEUG_DEBUG_PIN"])
    return variables(knobs, instance)


def variables(knobs: Knobs, instance: str) -> dict[str, str]:
    """The environment of that command, whether or not there is a directory for its socket."""
    given = knobs.environment | {
        "INSTANCE": instance,
        "SOCKETS": str(knobs.run_dir / "sockets"),
        "PYTHON": sys.executable,
    }
    # uWSGI would tell systemd in the name of the service that it is ready.
    given.pop("NOTIFY_SOCKET", None)
    given.pop("WERKZEUG_DEBUG_PIN", None)  # it is in the private directory
    # Unset if switched off: uWSGI and Flask also react to an empty variable.
    return {name: text for name, text in given.items() if text or name not in _SWITCHES}


def refuse_open_sockets(directory: Path) -> None:
    """Reject a directory of sockets with access for others than this user and its group.

    Write access to a socket is code execution as the app.

    Args:
        directory: where the sockets are, or will be.

    Raises:
        Refusal: it belongs to another user, or has access for others.
    """
    try:
        found = directory.lstat()
    except OSError as error:
        raise Refusal(
            f"{directory}, where the sockets belong, cannot be used ({error.strerror}); mount a"
            " volume there that this user may write to."
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise Refusal(f"{directory}, where the sockets belong, is no directory; remove it.")
    if found.st_uid not in {0, os.geteuid()}:
        raise Refusal(
            f"{directory} belongs to user {found.st_uid}, who could put another app there; give it"
            f" to user {os.geteuid()} (chown, or uid= where it is mounted)."
        )
    if found.st_mode & stat.S_IRWXO:
        raise Refusal(
            f"{directory} has mode {stat.S_IMODE(found.st_mode):04o}, and write access to a socket"
            " in it is code execution; close it to others (chmod 2750, or mode=2750 where it is"
            " mounted)."
        )


def ending_with_this(signal_name: str) -> list[str]:
    """The prefix of a command whose process gets a signal when this process exits.

    Args:
        signal_name: without SIG. A child of that process does not inherit this.
    """
    return [find("setpriv", "util-linux"), "--pdeathsig", signal_name, "--"]


def limit_open_files() -> None:
    """Lower the soft limit for this process and what it starts; an app may raise its own again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, _OPEN_FILES), hard))


def become(knobs: Knobs, instance: str, section: str = "uwsgi") -> None:
    """Replace this process by uWSGI, or by the relay of its log, which passes signals on."""
    limit_open_files()
    # Missing in a container with one volume for all of RUN_DIR.
    with contextlib.suppress(OSError):
        (knobs.run_dir / "sockets").mkdir(mode=0o750)
    os.chdir(PROJECT)
    arguments = command(knobs, section)
    if logs.can_block():
        arguments = [logs.RELAY, *ending_with_this("TERM"), *arguments]
    os.execve(arguments[0], arguments, environment(knobs, instance))


def find(program: str, package: str) -> str:
    """Where a program of the system is.

    Raises:
        Refusal: it is not installed.
    """
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        raise Refusal(f"{program} is not installed; type: apt-get install {package}")
    return path
