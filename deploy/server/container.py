"""``python -m deploy app``: the process of the app's container, before it becomes uWSGI."""

import socket

from deploy.problems import Refusal
from deploy.server import logs, preflight, spool, starts, uwsgi
from deploy.settings import knobs


def become() -> None:
    """Replace this process by uWSGI.

    Raises:
        SystemExit: a setting is wrong, a check finds a blocking error, or an app cannot be loaded.
    """
    # From the first line. uWSGI's own relay does not have the secrets of this environment.
    with logs.relayed():
        try:
            command, environment = _prepare()
        except Refusal as refusal:
            raise SystemExit(refusal.tell()) from None
    uwsgi.become(command, environment)


def _prepare() -> tuple[list[str], dict[str, str]]:
    found, instance = knobs.read(), socket.gethostname()
    starts.abort_on_errors(starts.before_the_app(found), starts.report)
    found.environment["STATIC_OF"] = "container"
    if directory := spool.own(found.run_dir, instance):
        found.environment["TMPDIR"] = str(directory)
    preflight.decide(found)
    return uwsgi.prepare(found, instance)
