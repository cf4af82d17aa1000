"""An app that reports to sentry and by OpenTelemetry, set up when it is loaded, as usual."""

import os
import urllib.request
from collections.abc import Sequence

import sentry_sdk
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

RECEIVER = os.environ["RECEIVER"]

sentry_sdk.init(f"http://key@{RECEIVER}/1")


class Exporter(SpanExporter):
    """The names of spans, a line each. (The usual one needs twenty packages more.)"""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(f"{span.name}\n" for span in spans)
        urllib.request.urlopen(f"http://{RECEIVER}/spans", lines.encode(), timeout=10).close()
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter(), schedule_delay_millis=100))
trace.set_tracer_provider(provider)

app = Flask(__name__)


@app.get("/")
def report() -> str:
    with trace.get_tracer("reports").start_as_current_span(f"span of {os.getpid()}"):
        sentry_sdk.capture_message(f"message of {os.getpid()}")
    return str(os.getpid())
