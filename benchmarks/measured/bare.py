"""A WSGI callable that does nothing else: what a server costs without Flask."""

from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """Respond with a few bytes to all requests."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"Hello\n"]
