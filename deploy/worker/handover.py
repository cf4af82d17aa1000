"""How the workers of one uWSGI reach each other: a private directory with a socket for each.

It needs nothing that is made before the fork, so it serves prefork and ``lazy-apps`` alike, and
workers that came later.
"""

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer
from threading import Lock, Thread

from werkzeug import Request, Response

from deploy.refusal import Refusal

# What a unix socket's address holds (sun_path in unix(7)), less "/", a process id and the NUL.
_LONGEST_DIRECTORY = 108 - 1 - 7 - 1


class Gone(Exception):
    """The process that was asked does not answer: it has ended, or never was one of ours."""


class Handover:
    """What the workers of one uWSGI share, from its start to its end (a reload is no end).

    Args:
        master: the process id of uWSGI's master.

    Raises:
        Refusal: somebody else has made the directory, and could listen in; or its path is longer
            than a unix socket's may be.
    """

    def __init__(self, master: int) -> None:
        parent, prefix = Path(tempfile.gettempdir()), f"debugger-{os.getuid()}-"
        self.directory = parent / f"{prefix}{master}-{_start_of(master)}"
        if len(os.fsencode(self.directory)) > _LONGEST_DIRECTORY:
            raise Refusal(f"TMPDIR is {str(parent)!r}, too long for a unix socket; choose another.")
        try:
            self.directory.mkdir(mode=0o700)
        except FileExistsError:
            found = self.directory.lstat()
            if found.st_uid != os.getuid() or found.st_mode != stat.S_IFDIR | 0o700:
                raise Refusal(
                    f"{self.directory} is not a private directory of this user; remove it."
                ) from None
        for other in parent.glob(f"{prefix}*"):
            pid, _, start = other.name.removeprefix(prefix).partition("-")
            if start != _start_of(int(pid)):  # that uWSGI has ended, and cannot tidy up any more
                shutil.rmtree(other, ignore_errors=True)
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

    def listen(self, answer: Callable[[Request], Response]) -> None:
        """Answer what other workers ask this one, each question in a thread of its own.

        May be called again; only the first call in a process has an effect. It is for workers,
        not for the master: threads do not survive a fork.
        """
        with self._starting:
            if not self._server:
                path = self.directory / str(os.getpid())
                path.unlink(missing_ok=True)  # of a dead worker that had the same process id
                self._server = _Server(str(path), _Question)
                self._server.answer = answer
                Thread(target=self._server.serve_forever, daemon=True).start()

    def ask(self, pid: int, environ: Mapping[str, object]) -> Response:
        """Let the worker with that process id answer a request. Its body is not handed over.

        Raises:
            Gone: there is no such worker, or it ended before it had answered.
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
    answer: Callable[[Request], Response]


class _Question(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        response = self.server.answer(Request(json.loads(self.rfile.readline())))
        answer = response.status, list(response.headers), response.get_data(as_text=True)
        self.wfile.write(json.dumps(answer).encode())


def _start_of(pid: int) -> str:
    """When a process began, in clock ticks since the machine did; empty when there is none.

    Together with the process id that names a uWSGI for good: a reload changes neither.
    """
    try:
        stat_line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat_line.rpartition(")")[2].split()[19]  # field 22 of proc_pid_stat(5)
