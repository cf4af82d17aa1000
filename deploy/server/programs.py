"""Programs, ports and open files of this machine."""

import os
import resource
import shutil
import socket

from deploy.problems import Refusal
from deploy.settings.knobs import Knobs

# Limit of open files. uWSGI allocates memory for each that the system allows, and closes each
# before it starts a program; container engines may allow a billion.
_OPEN_FILES = 16_384


def find(program: str, package: str) -> str:
    """Where a program of the system is.

    Raises:
        Refusal: it is not installed.
    """
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        raise Refusal(f"{program} is not installed; type: apt-get install {package}")
    return path


def ending_with_this(signal_name: str) -> list[str]:
    """The prefix of a command whose process gets a signal when this process exits.

    Args:
        signal_name: without SIG. A child of that process does not inherit this.
    """
    return [find("setpriv", "util-linux"), "--pdeathsig", signal_name, "--"]


def limit_open_files() -> None:
    """Lower the soft limit for this process and what it starts; an app may raise its own again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, _OPEN_FILES), hard))


def refuse_port_in_use(knobs: Knobs, name: str = "HTTP_PORT") -> None:
    """Try to bind the listen address, with the port of this setting.

    Raises:
        Refusal: something else listens there, or it is not an address of this machine.
    """
    port = int(knobs.environment[name])
    family = socket.AF_INET6 if ":" in knobs.http_address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((knobs.http_address, port))
            probe.listen()
        except OSError as error:
            raise Refusal(
                f"{name} is {port} on HTTP_ADDRESS {knobs.http_address}, which cannot"
                f" be used ({error.strerror}); choose another port, or stop what listens there."
            ) from None
