"""Flask's own development server: ``make dev``."""

import os
import signal
import sys

from deploy.settings.knobs import PROJECT, Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by ``flask run --debug`` for all of ``MOUNTS``.

    Flask brings its own reloader and debugger.
    """
    os.chdir(PROJECT)
    # Ignored in what a shell starts in the background, and then Flask and its reloader ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = [sys.executable, "-m", "flask", "--app", "deploy.worker.mounted", "run", "--debug"]
    arguments += ["--host", knobs.http_address, "--port", str(knobs.http_port)]
    # Of two debuggers on one app, each executes the other's commands, without a PIN.
    os.execve(sys.executable, arguments, knobs.environment | {"UWSGI_DEBUG": ""})
