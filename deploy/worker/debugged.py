"""What uWSGI mounts in debug mode: ``app_0``, ``app_1``, ..., the apps in ``MOUNTS``, watched.

They are real globals, since uWSGI looks into the module's dictionary. With ``UWSGI_DEBUG`` off,
nobody imports this.
"""

import os
import sys
from pathlib import Path

from flask import Flask, appcontext_pushed

from deploy import debugging, mounts
from deploy.worker.debugger import Debugger, Tracebacks, banner, trusted_hosts
from deploy.worker.handover import Handover


def _let_exceptions_out(app: Flask, **_: object) -> None:
    # As under `flask run --debug`: handlers of an exception's own class, and of Exception, are
    # the app's behaviour and stay. What would become a 500 page comes to the debugger instead.
    app.config["PROPAGATE_EXCEPTIONS"] = True


# By signal, so that it reaches every Flask app, however deep in middleware it sits.
appcontext_pushed.connect(_let_exceptions_out)

_private = debugging.directory(Path(os.environ["SOCKETS"]), os.environ["INSTANCE"])
_tracebacks, _handover = Tracebacks(), Handover(_private)
_pin, _key = (_private / "pin").read_text(), (_private / "key").read_bytes()
_hosts = trusted_hosts(os.environ["SERVER_NAMES"])
_banner = banner(_pin, _hosts, os.environ)

for _number, _mount in enumerate(mounts.parse(os.environ["MOUNTS"])):
    globals()[f"app_{_number}"] = Debugger(
        mounts.load(_mount), _tracebacks, _handover, _pin, _key, _hosts
    )

if _handover.tally("starts") == 1:  # not in every worker, where each loads its own app
    print(_banner, file=sys.stderr, flush=True)
