"""``python -m deploy app``: the process of the app's container, before it becomes uWSGI."""

import socket

from deploy.server import preflight, spool, starts, uwsgi
from deploy.settings.knobs import Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by uWSGI.

    Raises:
        Refusal: a check finds a blocking error.
        SystemExit: an app cannot be loaded.
    """
    instance = socket.gethostname()
    starts.abort_on_errors(starts.before_the_app(knobs), starts.report)
    knobs.environment["STATIC_OF"] = "container"
    if directory := spool.own(knobs.run_dir, instance):
        knobs.environment["TMPDIR"] = str(directory)
    preflight.decide(knobs)
    uwsgi.become(knobs, instance)
