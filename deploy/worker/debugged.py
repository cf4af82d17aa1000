"""The mounts of uWSGI in debug mode: ``app_0``, ``app_1``, ..., the apps in ``MOUNTS``, wrapped.

They are globals, since uWSGI reads the module's dictionary. This module is imported only with
``UWSGI_DEBUG``.
"""

import os
import sys
from pathlib import Path

from flask import Flask, appcontext_pushed

from deploy.settings import debugging, mounts
from deploy.worker.debugger import Debugger, Tracebacks, banner, trusted_hosts
from deploy.worker.handover import Handover


def _let_exceptions_out(app: Flask, **_: object) -> None:
    # As with `flask run --debug`: error handlers of exception classes still run. The debugger
    # handles what would be a 500.
    app.config["PROPAGATE_EXCEPTIONS"] = True


# A signal reaches each Flask app, also one inside of middleware.
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
