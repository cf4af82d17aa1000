"""Werkzeug's own server with apps at the same mounts: what the rows are compared to.

`flask run` is this server with one app at `/`, and with `.env` read in this way.
"""

import os
import sys
from pathlib import Path

from dotenv import load_dotenv
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple
from werkzeug.utils import import_string
from werkzeug.wrappers import Response

if __name__ == "__main__":
    load_dotenv(".env")
    sys.path.insert(0, str(Path.cwd()))
    apps = {}
    for mount in os.environ["MOUNTS"].split():
        path, _, target = mount.partition("=")
        apps[path.rstrip("/")] = import_string(target)
    outside = apps.pop("", Response("no app here", 404))
    site = DispatcherMiddleware(outside, apps)
    run_simple("127.0.0.1", int(os.environ["HTTP_PORT"]), site, threaded=True)
