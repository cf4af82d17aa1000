"""An app that takes ten minutes to load in uWSGI, and no time in the preflight."""

import time

import uwsgi

if "no-server" not in uwsgi.opt:
    time.sleep(600)


def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
