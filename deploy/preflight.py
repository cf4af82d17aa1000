"""Load every app once, in a process of its own, before a server is started with it.

Run as ``python -m deploy preflight``. An app that cannot be loaded is refused here, with its own
traceback and a sentence, while whatever serves now goes on undisturbed. While the apps are at
hand, their static files are published for nginx, and LOAD_APPS=auto is decided.
"""

import sys
import traceback
from pathlib import Path

from flask import Flask
from flask.sessions import SessionInterface

from deploy import inherited, mounts, static
from deploy.mounts import Mount
from deploy.refusal import Refusal
from deploy.uwsgi import EACH

_OUTCOME = {
    "auto": "so each worker loads them for itself",
    "once": "with LOAD_APPS=once, that is not safe",
}


def check(found: list[Mount], static_root: Path, load_apps: str, https: bool) -> int:
    """Load each mount and publish its static files below ``static_root``.

    Args:
        found: the mounts.
        static_root: the folder that nginx serves.
        load_apps: the knob LOAD_APPS.
        https: whether visitors come over TLS.

    Returns:
        The exit status: 0, or ``uwsgi.EACH`` when LOAD_APPS is auto and the apps hold what workers
        cannot share. What was found is on standard error by then.

    Raises:
        Refusal: an app cannot be loaded. Its traceback is on standard error by then.
    """
    before = inherited.open_sockets()
    for mount in found:
        try:
            app = mounts.load(mount)
        except Refusal:
            raise
        # SystemExit too: an app that calls sys.exit() while it is imported must not look loaded.
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=sys.stderr)
            raise Refusal(
                f"MOUNTS: {mount.target!r} cannot be loaded ({type(error).__name__}: {error});"
                " mend what the traceback above shows."
            ) from None
        static.publish(app, mount, static_root)
        if https and isinstance(app, Flask) and _shows_its_session(app):
            print(
                f"deploy: {mount.target} does not mark its session cookie as Secure, so a browser"
                " would send it over plain HTTP, too; set SESSION_COOKIE_SECURE to True in its"
                " configuration.",
                file=sys.stderr,
            )

    if load_apps == "each":
        return 0
    held = list(inherited.describe(before))
    for what in held:
        print(f"deploy: Loading the apps left {what}; {_OUTCOME[load_apps]}.", file=sys.stderr)
    return EACH if held and load_apps == "auto" else 0


def _shows_its_session(app: Flask) -> bool:
    # A session interface that decides for each request, as that of yourapplication, knows better.
    kind = type(app.session_interface)
    decides = kind.get_cookie_secure is not SessionInterface.get_cookie_secure
    return bool(app.secret_key) and not decides and not app.config["SESSION_COOKIE_SECURE"]
