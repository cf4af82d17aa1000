"""The exporter's web server, at the private address: metrics, the status page, and its JSON."""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from deploy.problems import Refusal
from deploy.server.metrics.page import CONTENT_SECURITY_POLICY

_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# By path: the media type, and what makes the text.
Pages = Mapping[str, tuple[str, Callable[[], str]]]
_BY_ADDRESS = "Type the address, or localhost: other names could be those of another site.\n"


def start(address: str, port: int, collector: Collector, pages: Pages) -> None:
    """Serve metrics at /metrics, and pages, in a thread.

    Raises:
        Refusal: it cannot listen there.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    application = _application(make_wsgi_app(registry), pages)
    try:
        server = make_server(address, port, application, _server_class(address), _Handler)
    except OSError as error:
        raise Refusal(
            f"METRICS_PORT is {port} on METRICS_ADDRESS {address}, which cannot be used"
            f" ({error.strerror}); choose another port, or stop what listens there. Requests"
            " are served without metrics."
        ) from None
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _application(metrics: Application, pages: Pages) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        status, kind = "200 OK", "text/plain"
        if not _is_address(environ.get("HTTP_HOST", "")):
            status, text = "421 Misdirected Request", _BY_ADDRESS
        elif path in pages:
            kind, make = pages[path]
            text = make()
        else:
            status, text = "404 Not Found", f"Here are {', '.join(pages)} and /metrics.\n"
        start_response(status, [("Content-Type", f"{kind}; charset=utf-8"), *_HEADERS])
        return [text.encode()]

    return application


def _is_address(host: str) -> bool:
    """Whether a Host header has no name that a foreign DNS may lead here (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host}").hostname
        return name in {None, "localhost"} or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _server_class(address: str) -> type[WSGIServer]:
    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    return Server


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """No line for each scrape."""
