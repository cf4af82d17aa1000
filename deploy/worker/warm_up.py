"""Warm-up: before an instance goes live, each of its workers has called each app once.

The first request is an app's slowest: it opens connections, compiles templates and imports modules,
in each worker for itself. Worker 1, which makes the instance live when it accepts, waits for the
others. A worker that replaces another one is not warmed up, since it has to serve at once.

uWSGI does not give away what it has mounted, so with WARM_UP_PATH it mounts ``app_0``, ``app_1``,
... of this module. They are the apps in MOUNTS themselves, without a wrapper.
"""

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import uwsgi
from uwsgidecorators import postfork

from deploy.settings import mounts
from deploy.settings.mounts import Mount
from deploy.worker import log, settings

# Offset of a byte for each worker that is warm; deploy.worker.resources uses what is before it.
_WARM = 8
# uWSGI's count of the respawns of a worker that is not started yet (one less than 0, unsigned).
_NOT_STARTED = 2**64 - 1
_PAUSE = 0.02

_path = os.environ["WARM_UP_PATH"]
_host = next((name.lstrip("*.") for name in os.environ["SERVER_NAMES"].split()), "localhost")
_https = os.environ["TLS_CERTIFICATE"] != os.devnull or os.environ["ENVIRONMENT"] == "production"
_apps = [(mount, mounts.load(mount)) for mount in mounts.parse(os.environ["MOUNTS"])]
globals().update({f"app_{number}": app for number, (_, app) in enumerate(_apps)})


def _warm_up() -> None:
    """Call the apps, unless this worker replaces another one."""
    own = uwsgi.worker_id()
    if uwsgi.workers()[own - 1]["respawn_count"]:
        return
    for mount, app in _apps:
        # Not in this thread, which could not be ended.
        with contextlib.suppress(RuntimeError):  # no thread can be started
            called = threading.Thread(target=_call, args=(mount, app), daemon=True)
            called.start()
            called.join(settings.REQUEST_TIMEOUT)
            if called.is_alive():
                log.write(
                    f"WARM_UP_PATH: {mount.prefix}{_path} has not responded to worker {own} within"
                    f" REQUEST_TIMEOUT ({settings.REQUEST_TIMEOUT} s), so it starts without; name"
                    " another path.\n"
                )
    uwsgi.sharedarea_write8(0, _WARM + own, 1)
    late = time.monotonic() + settings.START_TIMEOUT
    while own == 1 and any(map(_is_starting, uwsgi.workers())) and time.monotonic() < late:
        time.sleep(_PAUSE)


def _is_starting(worker: dict[str, Any]) -> bool:
    """Whether a worker is on its way; one that has ended meanwhile is not waited for."""
    warm = uwsgi.sharedarea_read8(0, _WARM + worker["id"])
    return not warm and worker["respawn_count"] in (0, _NOT_STARTED)


def _call(mount: Mount, app: Callable[..., Any]) -> None:
    """Send the app a GET request as uWSGI does, and take the first chunk of any response."""
    environ = {
        "SCRIPT_NAME": mount.prefix,
        "PATH_INFO": _path,
        "REQUEST_URI": f"{mount.prefix}{_path}",
        "QUERY_STRING": "",
        "SERVER_NAME": _host,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": _host,
        "HTTP_USER_AGENT": "warm-up",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "https" if _https else "http",
        "wsgi.multithread": settings.THREADS > 1,
        "wsgi.multiprocess": len(uwsgi.workers()) > 1,
    }
    setup_testing_defaults(environ)  # the rest of PEP 3333
    body = app(environ, lambda *_: lambda _: None)
    try:
        next(iter(body), None)  # a stream may have no end
    finally:
        if hasattr(body, "close"):
            body.close()


if uwsgi.worker_id():
    _warm_up()  # loaded by each worker for itself
else:
    postfork(_warm_up)
