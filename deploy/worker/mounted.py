"""All of MOUNTS in one app, for Flask's development server: see ``deploy.commands.dev``.

A link without the mount, such as a hard-coded ``/static/style.css``, is a 404 here, too.
"""

import os
from collections.abc import Iterable
from typing import Any

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.utils import redirect

from deploy.settings import mounts
from deploy.worker import outside

_apps = {mount.prefix: mounts.load(mount) for mount in mounts.parse(os.environ["MOUNTS"])}
_dispatcher = DispatcherMiddleware(outside.app, _apps)


def _dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] in _apps:  # as in nginx/mount-without-slash.conf.template
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        return redirect(f"{environ['PATH_INFO']}/{query}", 308)(environ, start_response)
    return _dispatcher(environ, start_response)


for _app in _apps.values():
    if isinstance(_app, Flask):
        _app.debug = True  # as `flask run --debug` does with the app that it is given

# What `flask run` accepts has to be a Flask app.
app = Flask(__name__)
app.wsgi_app = _dispatch
