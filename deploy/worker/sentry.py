"""Errors to Sentry, or to what speaks its protocol, without a change in the app: SENTRY_DSN.

An app that calls ``sentry_sdk.init()`` itself keeps its own settings. Events of both have the
request's id. ``uwsgi.ini`` imports this only with SENTRY_DSN; sentry-sdk is the app's to install.
"""

import os
from typing import Any

import uwsgi
from uwsgidecorators import postfork

from deploy.worker import log, settings

try:
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.scope import add_global_event_processor
    from sentry_sdk.transport import HttpTransport
except ImportError:
    sentry_sdk = None
    HttpTransport = object

# Seconds for the last events at a graceful stop.
_LAST_EVENTS = 10


class _Transport(HttpTransport):
    """Logs that events are lost, once in each worker; by default that is silent."""

    _told = False

    def on_dropped_event(self, reason: str) -> None:
        """An event was not taken."""
        if not self._told:
            self._told = True
            log.write(
                f"SENTRY_DSN: {self.parsed_dsn.netloc} does not take events ({reason}), which are"
                " lost until it does; requests go on.\n"
            )


def start() -> None:
    """Initialize the SDK in this worker, unless the app has."""
    if sentry_sdk.get_client().is_active():
        return
    try:
        sentry_sdk.init(
            environment=os.environ.get("SENTRY_ENVIRONMENT") or settings.ENVIRONMENT,
            release=os.environ.get("SENTRY_RELEASE") or settings.RELEASE,
            # Without its messages on standard error.
            integrations=[AtexitIntegration(callback=lambda *_: None)],
            shutdown_timeout=_LAST_EVENTS,
            transport=_Transport,
        )
    except Exception as error:  # BadDsn, which is not public
        if uwsgi.worker_id() == 1:
            log.write(
                f"SENTRY_DSN cannot be used ({error}), and no errors are reported; write the DSN of"
                " your project, as in https://key@sentry.example.com/1.\n"
            )


def _add_request(event: dict[str, Any], _: object) -> dict[str, Any]:
    tags = log.of_request()
    if tags:
        tags["mount"] = log.request_var("SCRIPT_NAME") or "/"
    event["tags"] = {**event.get("tags", {}), **tags}
    return event


if not sentry_sdk:
    if uwsgi.worker_id() < 2:
        log.write(
            "SENTRY_DSN is set, and sentry-sdk is not installed; add it to requirements.in and run"
            " `make lock`.\n"
        )
else:
    add_global_event_processor(_add_request)
    # In a worker: threads do not survive a fork. With LOAD_APPS=each, this is a worker before it
    # loads the app, whose own init() replaces this one.
    if settings.LOADED_ONCE:
        postfork(start)
    else:
        start()
