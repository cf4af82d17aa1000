"""A server that takes what the SDKs of Sentry and OpenTelemetry send."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver(ThreadingHTTPServer):
    """Envelopes of Sentry at /api/PROJECT/envelope/, spans in OTLP at /v1/traces."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Report)
        self.reports: list[tuple[str, bytes]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def dsn(self, project: int = 1) -> str:
        """What SENTRY_DSN is set to."""
        return f"http://key@{self.address}/{project}"

    def events(self, project: int = 1) -> list[dict[str, Any]]:
        """What has been reported to this project."""
        found = []
        for path, body in list(self.reports):
            if path == f"/api/{project}/envelope/":
                _, *items = body.splitlines()
                for header, item in zip(items[::2], items[1::2], strict=False):
                    if json.loads(header)["type"] == "event":
                        found.append(json.loads(item))
        return found

    def spans(self) -> list[Span]:
        """All spans."""
        found = []
        for path, body in list(self.reports):
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


class _Report(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decompress = {"gzip": gzip.decompress, "br": brotli.decompress}.get(
            self.headers["Content-Encoding"], bytes
        )
        self.server.reports.append((self.path, decompress(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, until the end of the block."""
    with Receiver() as receiver:
        serving = threading.Thread(target=receiver.serve_forever)
        serving.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            serving.join()
