"""An app that takes a minute to load in uWSGI, and no time in the preflight."""

import contextlib
import time

with contextlib.suppress(ImportError):
    import uwsgi  # noqa: F401

    time.sleep(60)


def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
