"""Requests between the workers of one uWSGI: a private directory with a socket for each worker.

It depends on nothing from before the fork, so it works with prefork and ``lazy-apps``, and with
respawned workers.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer
from threading import Lock, Thread

from werkzeug import Request, Response


class Gone(Exception):
    """The worker does not respond: it has exited, or never existed."""


class Handover:
    """State that the workers of one uWSGI share, from its start to its exit, also across reloads.

    Args:
        directory: the private one, made by ``deploy.debugging`` before uWSGI starts.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._starting = Lock()
        self._server: _Server | None = None

    def tally(self, name: str) -> int:
        """Count one more of something, in all workers together, and return how many there are.

        No two callers get the same number: each writes a byte of its own at the end of a file.
        """
        with (self.directory / name).open("ab", buffering=0) as file:
            file.write(b".")
            return file.tell()

    def forget_tally(self, name: str) -> None:
        """Begin to count from 1 again."""
        (self.directory / name).unlink(missing_ok=True)

    def listen(self, respond: Callable[[Request], Response]) -> None:
        """Serve requests of other workers, each in a thread of its own.

        Only the first call in a process has an effect. Not in the master: threads do not survive a
        fork.
        """
        with self._starting:
            if not self._server:
                path = self.directory / str(os.getpid())
                path.unlink(missing_ok=True)  # of a dead worker that had the same process id
                self._server = _Server(str(path), _Handler)
                self._server.respond = respond
                Thread(target=self._server.serve_forever, daemon=True).start()

    def request(self, pid: int, environ: Mapping[str, object]) -> Response:
        """Forward a request, without its body, to the worker with that process id.

        Raises:
            Gone: there is no such worker, or it exited before it responded.
        """
        text = {name: value for name, value in environ.items() if isinstance(value, str)}
        try:
            with socket.socket(socket.AF_UNIX) as owner:
                owner.connect(str(self.directory / str(pid)))
                with owner.makefile("rw") as line:
                    print(json.dumps(text), file=line, flush=True)
                    status, headers, body = json.loads(line.read())
        except (OSError, ValueError) as error:
            raise Gone(pid) from error
        return Response(body, status, headers)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128  # commands at once; the default is 5
    respond: Callable[[Request], Response]


class _Handler(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        response = self.server.respond(Request(json.loads(self.rfile.readline())))
        parts = response.status, list(response.headers), response.get_data(as_text=True)
        self.wfile.write(json.dumps(parts).encode())
