"""Traces by OpenTelemetry, without a change in the app: OTEL_EXPORTER_OTLP_ENDPOINT.

The other variables of its SDK hold, too. The installed instrumentations change their libraries
before the apps are loaded. The exporter starts in each worker, since its thread does not survive a
fork. An app that sets a tracer provider itself keeps it. ``uwsgi.ini`` imports this only with that
variable; the packages are the app's to install.
"""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import entry_points

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import log, settings

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.distro import DefaultDistro
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import RandomIdGenerator, ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
except ImportError as error:
    trace = None
    missing = error.name
    OTLPSpanExporter = RandomIdGenerator = object


class _Exporter(OTLPSpanExporter):
    """Logs that spans are lost, once in each worker."""

    _told = False

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        """Send spans to the collector."""
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS and not self._told:
            self._told = True
            log.write(
                f"OTEL_EXPORTER_OTLP_ENDPOINT: {self._endpoint} does not take spans, which are"
                " lost until it does; requests go on.\n"
            )
        return result


class _Ids(RandomIdGenerator):
    """A trace that begins here has the id of its request."""

    def generate_trace_id(self) -> int:
        """The id of a new trace."""
        return int(log.request_var("HTTP_X_REQUEST_ID") or "0", 16) or super().generate_trace_id()


def _instrument() -> None:
    left_out = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").replace(" ", "")
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        if entry_point.name not in left_out.split(","):
            try:
                DefaultDistro().load_instrumentor(entry_point)
            except Exception as error:
                log.write(f"OpenTelemetry cannot instrument {entry_point.name} ({error}).\n")


def start() -> None:
    """Start the exporter in this worker, unless the app has set a tracer provider."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    attributes = {"deployment.environment.name": settings.ENVIRONMENT}
    if settings.RELEASE:
        attributes["service.version"] = settings.RELEASE
    try:
        provider = TracerProvider(resource=Resource.create(attributes), id_generator=_Ids())
        provider.add_span_processor(BatchSpanProcessor(_Exporter()))
    except Exception as error:  # of many kinds
        if uwsgi.worker_id() == 1:
            log.write(f"OpenTelemetry cannot start ({error}), and there are no traces.\n")
        return
    # Not set_tracer_provider(), which accepts one call: with LOAD_APPS=each, the app's is later.
    trace._TRACER_PROVIDER = provider


if not trace:
    if uwsgi.worker_id() < 2:
        log.write(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and {missing} is not installed; add"
            " opentelemetry-exporter-otlp-proto-http and opentelemetry-instrumentation-flask to"
            " requirements.in and run `make lock`.\n"
        )
else:
    # _Exporter has one sentence in place of a line for each attempt.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    _instrument()
    if settings.LOADED_ONCE:
        postfork(start)
    else:
        start()
