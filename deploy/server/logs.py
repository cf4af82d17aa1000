"""Standard output and error that block no request, whether or not they are read.

``log_relay.pl`` does that, and turns lines into JSON; this starts it. A file needs none for text.
"""

import contextlib
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from deploy.settings.knobs import PROJECT, log_format

RELAY = str(PROJECT / "deploy" / "log_relay.pl")
# Seconds to wait for the last lines, which the relay gives up by itself when they are not read.
_PATIENCE = 10
# Seconds after which it is started again, when it was killed.
_PAUSE = 0.1


def need_relay(environ: Mapping[str, str]) -> bool:
    """Whether standard output or error need a relay, by LOG_FORMAT."""
    return bool(_outputs(environ))


@contextlib.contextmanager
def relayed(environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Pass on what this process and its children write, in processes of their own.

    They are pipes meanwhile, which nginx can open as /dev/stdout. systemd's sockets cannot be.

    Args:
        environ: has LOG_FORMAT and ENVIRONMENT.
    """
    # What `auto` is without the relay, which is no terminal. It also holds for later releases.
    os.environ["LOG_FORMAT"] = log_format(environ)
    relays = [_Relay(outputs) for outputs in _outputs(os.environ)]
    try:
        yield
    finally:
        sys.stdout.flush()
        for relay in relays:
            relay.end()


class _Relay:
    """A process between these file descriptors, which lead to one place, and that place."""

    def __init__(self, outputs: list[int]) -> None:
        self._outputs = outputs
        self._target = os.dup(outputs[0])
        # Its end is held here, too, or all would fail to write while it is started again.
        self._source, pipe = os.pipe()
        for output in outputs:
            os.dup2(pipe, output)
        os.close(pipe)
        self._ended = False
        self._process = self._start()
        self._watch = threading.Thread(target=self._restart, daemon=True)
        self._watch.start()

    def _start(self) -> subprocess.Popen:
        # A session of its own: what ends the servers from a terminal must not end their log.
        return subprocess.Popen(
            [RELAY],
            stdin=self._source,
            stdout=self._target,
            stderr=self._target,
            start_new_session=True,
        )

    def _restart(self) -> None:
        while True:
            self._process.wait()
            if self._ended:
                return
            time.sleep(_PAUSE)
            self._process = self._start()

    def end(self) -> None:
        """Write to that place again, once all that is in the pipe has been written."""
        self._ended = True
        for output in self._outputs:
            os.dup2(self._target, output)
        self._watch.join(_PATIENCE)


def _outputs(environ: Mapping[str, str]) -> list[list[int]]:
    """Standard output and error where they need a relay, together if they lead to one place."""
    json = environ["LOG_FORMAT"] == "json"
    places: dict[tuple[int, int], list[int]] = {}
    for output in (1, 2):
        found = os.fstat(output)
        can_block = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)
        if can_block or os.isatty(output) or (json and stat.S_ISREG(found.st_mode)):
            places.setdefault((found.st_dev, found.st_ino), []).append(output)
    return list(places.values())
