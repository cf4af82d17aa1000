"""Flask's own development server, for one app: ``make dev``."""

import os
import signal
import sys

from deploy.settings.knobs import PROJECT, Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by ``flask run --debug`` for the first of ``MOUNTS``.

    Flask brings its own reloader and debugger, and serves the app at ``/``.
    """
    os.chdir(PROJECT)
    # Ignored in what a shell starts in the background, and then Flask and its reloader ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = [sys.executable, "-m", "flask", "--app", knobs.mounts[0].target, "run", "--debug"]
    arguments += ["--host", knobs.http_address, "--port", str(knobs.http_port)]
    # Of two debuggers on one app, each executes the other's commands, without a PIN.
    os.execve(sys.executable, arguments, knobs.environment | {"UWSGI_DEBUG": ""})
