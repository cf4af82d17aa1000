"""Werkzeug's interactive debugger, for any number of uWSGI workers.

A traceback is in the worker that caught it, and a command of its page may reach any other one.
There Werkzeug's debugger runs the view again, or responds with a frame of another user's request,
since it finds frames by ``id()``, which forked workers share.

Each page has a *secret*, which its JavaScript sends with every command. Here the secret names the
worker and the traceback. Another worker forwards the command to it. A command for a traceback that
no longer exists gets 410, and never reaches the app.

This depends on methods of Werkzeug 3.1 that have public names, but are not documented.
"""

import gc
import hmac
import io
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from contextvars import Context
from dataclasses import dataclass, field
from string import printable
from traceback import format_exception_only
from typing import IO, Any
from urllib.parse import quote

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.debug import DebuggedApplication
from werkzeug.debug.console import Console, ThreadedStream
from werkzeug.debug.tbtools import DebugFrameSummary, DebugTraceback
from werkzeug.http import parse_cookie

from deploy.problems import Refusal
from deploy.settings import mounts
from deploy.worker.handover import Gone, Handover

# Frames a worker keeps. The newest traceback is kept whole, however deep it is.
FRAMES = 500
# Evicted tracebacks between two garbage collections, each of which pauses the worker.
COLLECT_AFTER = 20
# Bytes of a failed request's unread body that are kept with its frames.
BODY = 1024 * 1024
# Wrong PINs, in all workers together, after which no PIN is taken until the next start.
GUESSES = 10
# Seconds after which the PIN is asked for again.
SIGNED_IN = 7 * 24 * 3600
# Seconds that a command waits for an earlier one on the same traceback.
COMMAND_TIMEOUT = 10

GONE = (
    "This traceback is gone: the worker that kept it has ended, or newer ones took its place."
    " Repeat the request that failed, and use the new page."
)


class Body:
    """The body of a request. ``detach()`` makes it independent of the server.

    uWSGI's own stream belongs to a thread, not to a request: read later, in a console, it would
    return the body of another user's request.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def detach(self) -> None:
        """Keep what has not been read yet, up to a limit, and let go of the server's stream."""
        stream, self._stream = self._stream, io.BytesIO()
        with suppress(OSError):  # the client went away; then this is all there is
            self._stream = io.BytesIO(stream.read(BODY))


@dataclass(eq=False)
class Traceback:
    """What is kept of one exception: frames by ``id()``, and how to get into their context."""

    frames: dict[int, DebugFrameSummary]
    contexts: list[AbstractContextManager]
    # A Flask request context can be entered by one thread at a time.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def evaluate(self, frame: DebugFrameSummary, command: str) -> str:
        """Run a command in a frame, and return what the console shows, as HTML."""
        # A console puts this stream into place of sys.stdout and takes it away when done, also
        # from under a command that still runs in another thread. So let it find it in place.
        Context().run(ThreadedStream.push)
        try:
            with ExitStack() as stack:
                for context in list(self.contexts):
                    stack.enter_context(context)
                return frame.eval(command)
        except BaseException as error:  # exit() too: it would end the worker
            # The same names in another console, for this one may be in the middle of a block.
            frame.console = Console(frame.console._ipy.locals)
            if isinstance(error, TypeError) and isinstance(error.__context__, SyntaxError):
                error = error.__context__  # which Werkzeug 3.1 fails to show under Python 3.13
            what = "".join(format_exception_only(error))
            return f"&gt;&gt;&gt; {escape(command)}\n{escape(what)}The worker goes on.\n"


class Tracebacks:
    """The newest tracebacks of this worker, by secret."""

    def __init__(self) -> None:
        self._kept: dict[str, Traceback] = {}
        self._dropped = 0
        self._lock = threading.Lock()

    def keep(self, traceback: Traceback) -> str:
        """Keep one, let go of the oldest beyond the limit, and return the new one's secret."""
        secret = f"{os.getpid()}-{secrets.token_urlsafe(16)}"
        with self._lock:
            self._kept[secret] = traceback
            while len(self._kept) > 1 and sum(len(t.frames) for t in self._kept.values()) > FRAMES:
                del self._kept[next(iter(self._kept))]
                self._dropped += 1
        # Frames are in cycles (Flask's hold the exception, a request its environ), and Python
        # counts objects, not their megabytes, before it looks for cycles by itself.
        if self._dropped >= COLLECT_AFTER:
            self._dropped = 0
            gc.collect()
        return secret

    def get(self, secret: str) -> Traceback | None:
        """The traceback with that secret, if this worker has it."""
        return self._kept.get(secret)


class Debugger(DebuggedApplication):
    """WSGI middleware that shows tracebacks, with a console in each frame for clients with the PIN.

    Args:
        app: the app to watch.
        tracebacks: where this worker keeps its own; one for all mounts.
        handover: the way to the other workers; one for all mounts.
        pin: the PIN; the same in every worker and for all mounts.
        key: what cookies are signed with, likewise.
        hosts: host names that may use consoles; one that begins with a dot includes subdomains.

    Raises:
        Refusal: the app has a debugger already. It would get the commands first, and obey them
            without this PIN.
    """

    def __init__(
        self,
        app: Any,
        tracebacks: Tracebacks,
        handover: Handover,
        pin: str,
        key: bytes,
        hosts: list[str],
    ) -> None:
        if any(isinstance(a, DebuggedApplication) for a in (app, getattr(app, "wsgi_app", None))):
            raise Refusal(
                "UWSGI_DEBUG is set, and the app wraps itself in a DebuggedApplication of its own;"
                " take that out of the app, it is not needed."
            )
        super().__init__(app, evalex=True, pin_logging=False)
        self.pin, self.key = pin, key
        self.trusted_hosts = hosts
        self.tracebacks = tracebacks
        self.handover = handover

    @property
    def pin_cookie_name(self) -> str:
        """The cookie of those who gave the PIN; another one for each start, like its value.

        So a cookie from before the last start is no wrong guess.
        """
        return f"__debugger_{self._sign('name')[:20]}"

    def check_pin_trust(self, environ: dict[str, Any]) -> bool:
        """Whether a request has that cookie. A wrong one is counted with the wrong PINs."""
        cookie = parse_cookie(environ).get(self.pin_cookie_name)
        if cookie is None:
            return False
        begun, _, signature = cookie.partition("|")
        if not hmac.compare_digest(signature.encode(), self._sign(begun).encode()):
            self.handover.tally("guesses")
            return False
        return time.time() < int(begun) + SIGNED_IN

    def _sign(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Execute a command, or pass the request to the app."""
        # Werkzeug decodes %FF, but not a raw byte that is no UTF-8, which may be meant for the app.
        query = quote(environ.get("QUERY_STRING", ""), safe=printable, encoding="latin-1")
        request = Request(environ | {"QUERY_STRING": query}, populate_request=False)
        if "QUERY_STRING" not in environ and "?" in environ.get("REQUEST_URI", ""):
            # uWSGI leaves out what does not fit into its buffer: it may have been a command.
            return Response("The URL is too long.", 414)(environ, start_response)
        if request.args.get("__debugger__") != "yes":
            return self.debug_application(environ, start_response)
        # A console command named "resource" has a frame.
        if request.args.get("cmd") == "resource" and "frm" not in request.args:
            response = self.resource(request)
        else:
            response = self.answer_in_owner(request)
            response.cache_control.no_store = True
        return response(environ, start_response)

    def resource(self, request: Request) -> Response:
        """A script or picture of the page."""
        try:
            return self.get_resource(request, request.args.get("f", ""))
        except (OSError, ValueError):  # no name of a file: too long, or with a NUL in it
            return Response(status=404)

    def answer_in_owner(self, request: Request) -> Response:
        """Execute a command, in this worker or in the one that its secret names."""
        pid = request.args.get("s", "").partition("-")[0]
        try:
            if pid == str(os.getpid()):
                return self.execute(request)
            return self.handover.request(int(pid), request.environ)
        except (Gone, ValueError):
            return Response(GONE, 410)

    def execute(self, request: Request) -> Response:
        """Execute a command for a traceback of this worker."""
        traceback = self.tracebacks.get(request.args.get("s", ""))
        command = request.args.get("cmd", "")
        if traceback is None:
            return Response(GONE, 410)
        if not self.check_host_trust(request.environ):
            return Response("SERVER_NAMES does not have this host name.", 400)
        if "frm" not in request.args and command == "pinauth":
            return self.pin_auth(request)
        if "frm" not in request.args and command == "printpin":
            return Response()  # it was printed at the start; clients cannot write to the log
        if not self.check_pin_trust(request.environ):
            return Response("Enter the PIN first; it is in the log, where the app started.", 403)
        frame = traceback.frames.get(request.args.get("frm", 0, int))
        if frame is None:
            return Response(GONE, 410)
        if not traceback.lock.acquire(timeout=COMMAND_TIMEOUT):
            return Response("An earlier command on this page is still running.", 503)
        try:
            # In a context of its own, or this thread would keep the frame, and lose its stdout.
            html = Context().run(traceback.evaluate, frame, command)
        finally:
            traceback.lock.release()
        return _html(html, 200)

    def pin_auth(self, request: Request) -> Response:
        """Take a PIN. All guesses of all workers are counted, before they are looked at."""
        if self.check_pin_trust(request.environ):
            right, exhausted = True, False
        else:
            exhausted = self.handover.tally("guesses") > GUESSES
            guess = request.args.get("pin", "").strip().replace("-", "")
            right = hmac.compare_digest(guess.encode(), self.pin.replace("-", "").encode())
            right = right and not exhausted
        response = Response(
            json.dumps({"auth": right, "exhausted": exhausted}), mimetype="application/json"
        )
        if right:
            self.handover.forget_tally("guesses")
            begun = str(int(time.time()))
            response.set_cookie(
                self.pin_cookie_name,
                f"{begun}|{self._sign(begun)}",
                httponly=True,
                samesite="Strict",
                secure=request.is_secure,
            )
        return response

    def debug_application(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Call the app; keep and show its exceptions."""
        environ = environ.copy()  # uWSGI uses the same dictionary for the next request
        environ["wsgi.input"] = body = Body(environ["wsgi.input"])
        contexts: list[AbstractContextManager] = []
        environ["werkzeug.debug.preserve_context"] = contexts.append  # Flask looks for it
        # What uWSGI's makes of a file would be sent line by line, since it is read by us here.
        environ.pop("wsgi.file_wrapper", None)
        try:
            chunks = self.app(environ, start_response)
            try:
                # Not `yield from`, which would close it a second time when the client goes away.
                for chunk in chunks:  # noqa: UP028
                    yield chunk
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        except Exception as error:
            body.detach()
            page = self.keep(error, environ, contexts)
            raised = sys.exc_info()
            try:
                # Replaces the app's headers, or raises the error again if they have been sent.
                yield from page(environ, lambda *given: start_response(*given, raised))
            except type(error):
                print("The response had begun, so there is no page.", file=sys.stderr, flush=True)
                raise

    def keep(
        self, error: Exception, environ: dict[str, Any], contexts: list[AbstractContextManager]
    ) -> Response:
        """Write the traceback to the log, keep it, and return its page."""
        shown = DebugTraceback(error, skip=1, hide=not self.show_hidden_frames)
        # Not to wsgi.errors: uWSGI's is not flushed before it is full.
        print(shown.render_traceback_text(), end="", file=sys.stderr, flush=True)
        frames = {id(frame): frame for frame in shown.all_frames}
        secret = self.tracebacks.keep(Traceback(frames, contexts))
        self.handover.listen(self.execute)
        html = shown.render_debugger_html(
            evalex=self.check_host_trust(environ),
            secret=secret,
            evalex_trusted=bool(self.check_pin_trust(environ)),
        )
        page = _html(html, 500)
        page.cache_control.no_store = True
        return page


def trusted_hosts(server_names: str) -> list[str]:
    """The host names in ``SERVER_NAMES``, as Werkzeug writes them; this machine's if it is empty.

    nginx's ``*.example.com`` becomes ``.example.com``, which includes ``example.com``. The list is
    never empty: to Werkzeug that would mean every host.
    """
    names = [name.lower().removeprefix("*") for name in server_names.split()]
    return names or [".localhost", "127.0.0.1"]


def banner(pin: str, hosts: list[str], environ: Mapping[str, str]) -> str:
    """What the log says when the debugger starts."""
    tls = environ["TLS_CERTIFICATE"] != os.devnull
    scheme, port = ("https", "HTTPS_PORT") if tls else ("http", "HTTP_PORT")
    path = mounts.parse(environ["MOUNTS"])[0].prefix
    urls = [f"{scheme}://{host.lstrip('.')}:{environ[port]}{path}/" for host in hosts]
    return (
        "\n*** UWSGI_DEBUG is on: the PIN allows code execution in this instance. ***\n"
        f"*** Debugger PIN: {pin}\n"
        f"*** Consoles work at: {' '.join(urls)}\n"
    )


def _html(html: str, status: int) -> Response:
    # What people print may hold halves of surrogate pairs, which UTF-8 cannot say.
    return Response(html.encode(errors="replace"), status, mimetype="text/html")
