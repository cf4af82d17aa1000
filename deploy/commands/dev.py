"""Flask's own development server: ``make dev``."""

import os
import signal

from deploy.settings import environment
from deploy.settings.knobs import PROJECT, Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by ``flask run --debug`` for all of ``MOUNTS``.

    Flask brings its own reloader and debugger.
    """
    os.chdir(knobs.app_dir)
    # Ignored in what a shell starts in the background, and then Flask and its reloader ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    python = str(environment.program("python"))
    arguments = [python, "-m", "flask", "--app", "deploy.worker.mounted", "run", "--debug"]
    arguments += ["--host", knobs.http_address, "--port", str(knobs.http_port)]
    paths = filter(None, [knobs.environment.get("PYTHONPATH")])
    # Of two debuggers on one app, each executes the other's commands, without a PIN.
    own = {"UWSGI_DEBUG": "", "PYTHONPATH": os.pathsep.join([str(PROJECT), *paths])}
    os.execve(python, arguments, knobs.environment | own)
