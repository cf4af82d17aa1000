"""The preflight in uWSGI: load the apps, check them, and exit; see ``deploy.server.preflight``."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib.metadata
import os
import sys
import threading
import traceback
from pathlib import Path

import uwsgi

from deploy.problems import Refusal
from deploy.server import inherited, publishing
from deploy.server.preflight import BEGUN, CLOSED, EACH, REJECTED, WHERE
from deploy.settings import environment as app_environment
from deploy.settings import mounts

try:
    from flask import Flask
    from flask.sessions import SessionInterface
except ImportError:  # there is none, or loading an app that needs it fails in the same way
    Flask = None

# The debugger (deploy.worker.debugger) rests on methods of it that are not documented.
_DEBUGGED_WERKZEUG = "3.1"

# Seconds for the apps' atexit handlers.
_ATEXIT_TIMEOUT = 5
# By LOAD_APPS: the id of the finding, if it is one, and the consequence.
_OUTCOME = {
    "auto": ("", "so each worker loads them for itself"),
    "once": (
        "W092",
        "with LOAD_APPS=once, that is not fork-safe, and a job that such a thread has scheduled"
        " never runs: set LOAD_APPS=auto",
    ),
}


def _check(environment: dict[str, str], log: int) -> int:
    """Load each mount and publish its static files.

    Args:
        environment: as it was before any app was loaded.
        log: the descriptor to report to.

    Returns:
        The exit status. Findings have been logged.
    """
    if environment.get("UWSGI_DEBUG") and (sentence := _problem_of_werkzeug()):
        _say(log, sentence)
        return REJECTED
    sockets, files = inherited.open_sockets(), _open_files()
    https = environment["TLS_CERTIFICATE"] != os.devnull
    apps = []
    for mount in mounts.parse(environment["MOUNTS"]):
        try:
            app = mounts.load(mount)
            apps.append((mount, app))
        except Refusal as refusal:
            _say(log, f"{refusal}")
            return REJECTED
        # SystemExit too: an app that calls sys.exit() at import is not loaded.
        except (Exception, SystemExit) as error:
            _write(log, traceback.format_exc())
            _say(
                log,
                f"MOUNTS: {mount.target!r} cannot be loaded ({type(error).__name__}: {error}); fix"
                " what the traceback above shows.",
            )
            return REJECTED
        secure = https or environment["ENVIRONMENT"] == "production"
        if secure and Flask and isinstance(app, Flask) and _shows_its_session(app):
            _say(
                log,
                f"{mount.target} does not mark its session cookie as Secure, so a browser would"
                " send it over plain HTTP, too; set SESSION_COOKIE_SECURE to True in its"
                " configuration.",
                id="W091",
            )
    if not files.items() <= _open_files().items():
        return CLOSED

    load_apps = environment["LOAD_APPS"]
    workers, threads = int(environment["WORKERS"]), list(inherited.threads())
    held = list(inherited.describe(sockets)) if load_apps != "each" else []
    for what in held:
        kind, consequence = _OUTCOME[load_apps]
        _say(log, f"Loading the apps left {what}; {consequence}.", id=kind)
    if threads and workers > 1 and load_apps != "once":
        _say(
            log,
            f"WORKERS is {workers}, and loading the apps started a thread ({threads[0]}) in each"
            f" worker, so a job that it has scheduled runs {workers} times; start the scheduler in"
            " a process of its own instead, or set WORKERS=1 and raise THREADS.",
            id="W093",
        )
    # Last: it sends requests to the apps, which may open resources that workers do not inherit.
    try:
        publish = uwsgi.opt["preflight-publish"] == b"1"
        for sentence in publishing.publish(apps, environment, lay_out=publish):
            _say(log, sentence, id="W094")
    except Refusal as refusal:
        _say(log, f"{refusal}")
        return REJECTED
    return EACH if held and load_apps == "auto" else 0


def _problem_of_werkzeug() -> str:
    """Why the debugger does not work with the app's Werkzeug; empty if it does."""
    try:
        version = importlib.metadata.version("werkzeug")
    except importlib.metadata.PackageNotFoundError:
        version = "missing"
    if version.startswith(f"{_DEBUGGED_WERKZEUG}."):
        return ""
    return (
        f"UWSGI_DEBUG is on and Werkzeug is {version}, and the debugger needs"
        f" {_DEBUGGED_WERKZEUG}; leave UWSGI_DEBUG empty, or require Werkzeug"
        f" {_DEBUGGED_WERKZEUG}."
    )


def _shows_its_session(app: Flask) -> bool:
    # A session interface may decide for each request, as that of yourapplication does.
    kind = type(app.session_interface)
    decides = kind.get_cookie_secure is not SessionInterface.get_cookie_secure
    return bool(app.secret_key) and not decides and not app.config["SESSION_COOKIE_SECURE"]


def _open_files() -> dict[int, tuple[int, int]]:
    """The descriptors of this process, except the standard ones, with device and inode."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of /proc/self/fd itself
            if int(entry.name) > 2:
                status = os.fstat(int(entry.name))
                found[int(entry.name)] = status.st_dev, status.st_ino
    return found


def _say(log: int, sentence: str, *, id: str = "") -> None:
    # docs/check.md has the ids.
    _write(log, f"deploy: {id} {sentence}\n" if id else f"deploy: {sentence}\n")


def _write(log: int, text: str) -> None:
    with contextlib.suppress(OSError):  # the app may have closed it
        os.write(log, text.encode(errors="backslashreplace"))


def _end(status: int) -> None:
    """Exit as Python does, within ``_ATEXIT_TIMEOUT`` seconds."""
    threading.Timer(_ATEXIT_TIMEOUT, os._exit, [status]).start()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)


def _run() -> None:
    app_environment.hide_bundle()
    log = int(uwsgi.opt["preflight-stderr"])
    os.set_inheritable(log, False)
    os.write(sys.stderr.fileno(), BEGUN)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(log, number)
        # Python's stream assumes a seekable file; a pipe is not seekable.
        encoding, errors = getattr(sys, name).encoding, getattr(sys, name).errors
        stream = open(number, "w", 1, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(2)
    faulthandler.register(WHERE, 2, all_threads=True)
    _end(_check(dict(os.environ), log))


_run()
