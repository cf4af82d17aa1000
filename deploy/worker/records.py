"""Log lines of the app carry the id of their request, and with LOG_FORMAT=json are JSON.

This is for handlers that write to standard output or error, however the app has configured
``logging``; an app whose formatter writes JSON gets the id as another field. An uncaught exception
is one write, too. ``uwsgi.ini`` loads this with ``import``; a request that logs nothing costs
nothing.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType

import uwsgi

from deploy.worker import log, settings

_make_record = logging.getLogRecordFactory()
_format = logging.StreamHandler.format
# The attributes of each record; others are the app's, from `extra`.
_USUAL = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


def _record(*args: object, **options: object) -> logging.LogRecord:
    # Here and not in the handler, which may run in another thread (QueueHandler). The name is
    # private: an app's `extra` may have a request_id.
    record = _make_record(*args, **options)
    record._of_request = log.of_request()
    return record


def _with_id(handler: logging.StreamHandler, record: logging.LogRecord) -> str:
    text = _format(handler, record)
    try:
        if handler.stream.fileno() not in {1, 2}:
            return text
    except (AttributeError, OSError, ValueError):  # no file
        return text
    of_request = getattr(record, "_of_request", {})
    if settings.JSON:
        return _as_json(text, record, of_request)
    request_id = of_request.get("request_id")
    if not request_id or request_id in text:
        return text
    head, end, rest = text.partition("\n")
    return f"{head} (id {request_id}){end}{rest}"


def _as_json(text: str, record: logging.LogRecord, of_request: dict[str, str]) -> str:
    fields = {
        "level": record.levelname.lower(),
        "logger": record.name,
        "worker": uwsgi.worker_id(),
    } | of_request
    if text.startswith("{") and (own := log.own_json(text, fields)):
        return own
    message = record.getMessage()
    # Formatter.format() has put the traceback there.
    for more in (record.exc_text, record.stack_info):
        message += f"\n{more}" if more else ""
    extra = {
        name: value
        for name, value in record.__dict__.items()
        if name not in _USUAL and not name.startswith("_")
    }
    return log.as_json(message, extra | fields, record.created)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python writes it, with the request in a line before it."""
    head = ""
    if request_id := log.request_var("HTTP_X_REQUEST_ID"):
        # Without the query, which may contain secrets.
        path = log.request_var("REQUEST_URI").partition("?")[0]
        head = f"Exception on {path} [{log.request_var('REQUEST_METHOD')}] (id {request_id})\n"
    _write(head, kind, error, trace)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else threading.get_ident()
        _write(f"Exception in thread {name}:\n", *args[:3])


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    head = f"{args.err_msg or 'Exception ignored in'}: {args.object!r}\n"
    _write(head, args.exc_type, args.exc_value, args.exc_traceback)


def _write(
    head: str,
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    if sys.stderr is not None:
        sys.stderr.write(head + "".join(traceback.format_exception(kind, error, trace)))


def _print_exception(
    self: traceback.TracebackException, *, file: object = None, **options: object
) -> None:
    print("".join(self.format(**options)), file=sys.stderr if file is None else file, end="")


logging.setLogRecordFactory(_record)
logging.StreamHandler.format = _with_id
# One write, which is one object, and not mixed with what other threads write.
traceback.TracebackException.print = _print_exception
sys.excepthook = _uncaught
threading.excepthook = _uncaught_in_thread
sys.unraisablehook = _unraisable
