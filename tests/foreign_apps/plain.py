"""A WSGI callable without any framework, which likes to misbehave."""

import json
import os


def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/json")]
    if path == "/exit":
        os._exit(1)
    if path == "/raise":
        raise LookupError("nothing here catches this")
    if path == "/large-header":
        headers.append(("X-Large", "x" * 30_000))
    if path == "/own-request-id":
        headers.append(("X-Request-ID", "made-by-the-app"))
    # Whatever was sent stays unread.
    start_response("404 Not Found" if path == "/missing" else "200 OK", headers)
    if path == "/download":
        return (bytes([number]) * 1024 * 1024 for number in range(40))
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    return [json.dumps(seen).encode()]
