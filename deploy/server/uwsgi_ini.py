"""Local changes of uwsgi.ini that break it."""

import re
import stat
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from deploy.problems import Finding
from deploy.settings.knobs import PROJECT, Knobs

_FILE = PROJECT / "uwsgi.ini"
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
# uWSGI's own defaults.
_DEFAULTS = {
    "chmod-socket": "755",  # of bind(2), with the usual umask
    "harakiri": "0",
    "listen": "100",
    "socket-timeout": "4",
    "worker-reload-mercy": "60",
}


def option(knobs: Knobs, name: str, base: int = 10) -> int:
    """A numeric option, with settings expanded."""
    ini = ConfigParser(strict=False, interpolation=None, delimiters="=", allow_no_value=True)
    ini.read(_FILE)
    text = ini.get("uwsgi", name, fallback=None) or _DEFAULTS[name]
    return int(re.sub(r"\$\((\w+)\)", lambda knob: knobs.environment[knob[1]], text), base)


def look(knobs: Knobs) -> Iterator[Finding]:
    """Check the socket, the listen backlog and the timeouts."""
    if (mode := option(knobs, "chmod-socket", base=8)) & stat.S_IRWXO:
        yield Finding(
            "E020",
            f"chmod-socket is {mode:o} in uwsgi.ini, and write access to the socket is code"
            " execution; write chmod-socket = 660.",
        )
    listen = option(knobs, "listen")
    if _SOMAXCONN.exists() and listen > (most := int(_SOMAXCONN.read_text())):
        yield Finding(
            "E021",
            f"listen is {listen} in uwsgi.ini and net.core.somaxconn is {most}, beyond which uWSGI"
            f" does not start; type: sysctl net.core.somaxconn={listen}, or lower listen.",
        )
    request_timeout = int(knobs.environment["REQUEST_TIMEOUT"])
    mercy = option(knobs, "worker-reload-mercy")
    if mercy < request_timeout:
        yield Finding(
            "E022",
            f"worker-reload-mercy is {mercy} in uwsgi.ini and REQUEST_TIMEOUT is {request_timeout},"
            " so each stop drops in-flight requests; write"
            " worker-reload-mercy = $(STOP_TIMEOUT).",
        )
    if harakiri := option(knobs, "harakiri"):
        yield Finding(
            "W023",
            f"harakiri is {harakiri} in uwsgi.ini, which kills a worker with the healthy requests"
            " of its other threads; remove it, REQUEST_TIMEOUT ends only stuck requests.",
        )
