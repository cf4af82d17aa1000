"""An app that sets up Sentry and OpenTelemetry itself."""

import logging
import os

import sentry_sdk
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider


class OwnProvider(TracerProvider):
    """Tells itself from another one by its name."""


sentry_sdk.init(os.environ["OWN_DSN"], release="own")
trace.set_tracer_provider(OwnProvider())
app = Flask(__name__)


@app.get("/")
def provider() -> str:
    return type(trace.get_tracer_provider()).__name__


@app.get("/boom")
def boom() -> str:
    raise LookupError("own")


@app.get("/log")
def log() -> str:
    logging.getLogger("own").warning("said")
    return "said"
