"""What somebody has changed in uwsgi.ini, and what no longer goes with it."""

import re
import stat
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from deploy.checks.finding import Finding, error, warning
from deploy.knobs import PROJECT, Knobs

_FILE = PROJECT / "uwsgi.ini"
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
# What uWSGI takes for an option that is missing.
_DEFAULTS = {
    "chmod-socket": "755",  # what bind(2) makes under the usual umask
    "harakiri": "0",
    "listen": "100",
    "socket-timeout": "4",
    "worker-reload-mercy": "60",
}


def option(knobs: Knobs, name: str, base: int = 10) -> int:
    """An option that is a number, with the knob filled in that it may come from."""
    ini = ConfigParser(strict=False, interpolation=None, delimiters="=", allow_no_value=True)
    ini.read(_FILE)
    text = ini.get("uwsgi", name, fallback=None) or _DEFAULTS[name]
    return int(re.sub(r"\$\((\w+)\)", lambda knob: knobs.environment[knob[1]], text), base)


def look(knobs: Knobs) -> Iterator[Finding]:
    """The socket and its queue, and the times."""
    if (mode := option(knobs, "chmod-socket", base=8)) & stat.S_IRWXO:
        yield error(
            f"chmod-socket is {mode:o} in uwsgi.ini, and whoever can write to the socket runs code"
            " here; write chmod-socket = 660."
        )
    listen = option(knobs, "listen")
    if _SOMAXCONN.exists() and listen > (most := int(_SOMAXCONN.read_text())):
        yield error(
            f"listen is {listen} in uwsgi.ini and net.core.somaxconn is {most}, beyond which uWSGI"
            f" does not start; type: sysctl net.core.somaxconn={listen}, or lower listen."
        )
    request_timeout = int(knobs.environment["REQUEST_TIMEOUT"])
    mercy = option(knobs, "worker-reload-mercy")
    if mercy < request_timeout:
        yield error(
            f"worker-reload-mercy is {mercy} in uwsgi.ini and REQUEST_TIMEOUT is {request_timeout},"
            " so each stop breaks off requests that may still run; write"
            " worker-reload-mercy = $(REQUEST_TIMEOUT)."
        )
    if harakiri := option(knobs, "harakiri"):
        yield warning(
            f"harakiri is {harakiri} in uwsgi.ini, which ends a worker with the healthy requests of"
            " its other threads; take it out, REQUEST_TIMEOUT ends stuck ones alone."
        )
