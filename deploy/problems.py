"""What can be wrong: the error of all commands, and the findings of ``python -m deploy check``."""

import sys
from dataclasses import dataclass
from enum import StrEnum


class Refusal(Exception):
    """A setting or a machine with which a command cannot run.

    The message is one sentence with the setting, its value and the fix. It is printed without a
    traceback, and the exit status is 2.
    """

    def tell(self) -> int:
        """Print it, and return the exit status."""
        print(f"deploy: {self}", file=sys.stderr, flush=True)
        return 2


class Severity(StrEnum):
    """Error or warning."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Kind:
    """A kind of finding. docs/check.md has the same table.

    Args:
        summary: what was found.
        blocking: whether it ends a start or a rollout. It cannot be ignored then.
    """

    summary: str
    blocking: bool = False


# Stable: an id that is no longer used is not used again.
KINDS = {
    "E001": Kind("A setting has an invalid value, is misspelt, or conflicts with another", True),
    "W002": Kind("There is no secret key, so each restart ends all sessions"),
    "W003": Kind("The secret key can be guessed"),
    "W004": Kind("The debugger is on where others reach the site"),
    "W005": Kind("Plain tracebacks are on where others reach the site"),
    "W006": Kind("Any host name is accepted at an address that others reach"),
    "W007": Kind("`SERVER_NAMES` has a wildcard below a public suffix"),
    "W008": Kind("`TRUSTED_PROXIES` is a large part of the Internet"),
    "W009": Kind("There are more workers than CPUs"),
    "W010": Kind("Workers may exceed the memory limit before they are replaced"),
    "W011": Kind("A line of the Procfile is not run"),
    "E020": Kind("The uwsgi socket is writable for all users", True),
    "E021": Kind("The listen backlog exceeds `net.core.somaxconn`", True),
    "E022": Kind("The stop timeout of uWSGI is shorter than `REQUEST_TIMEOUT`", True),
    "W023": Kind("`harakiri` is set, which ends healthy requests of other threads"),
    "W030": Kind("Files of Git are not in the images"),
    "E040": Kind("The certificate or its key cannot be used", True),
    "E041": Kind("Browsers reject the certificate", True),
    "E042": Kind("The certificate has expired"),
    "E043": Kind("The certificate is not valid yet"),
    "W044": Kind("The certificate expires soon"),
    "W045": Kind("The certificate lacks a name of `SERVER_NAMES`"),
    "E050": Kind("nginx is too old, or rejects its configuration", True),
    "W051": Kind("nginx's read timeout is shorter than `REQUEST_TIMEOUT`"),
    "W052": Kind("nginx's send timeout is longer than uWSGI's"),
    "W053": Kind("gixy warns of nginx's configuration"),
    "W054": Kind("There is a security update of nginx"),
    "W060": Kind("A file with a secret is readable for all users"),
    "W061": Kind("`.env` contains a secret and is readable for all users"),
    "E070": Kind("`RUN_DIR` cannot be written to, or is shared with other programs or users", True),
    "E071": Kind("`RUN_DIR` can be replaced by other users", True),
    "E072": Kind("The sockets are accessible to other users", True),
    "E080": Kind("`DATA_DIR` cannot be written to", True),
    "E081": Kind("The default `DATA_DIR` cannot be written to"),
    "W082": Kind("`DATA_DIR` has little free space"),
    "W083": Kind("There is too little space for request bodies"),
    "E090": Kind("An app cannot be loaded", True),
    "W091": Kind("A session cookie is not `Secure`"),
    "W092": Kind("With `LOAD_APPS=once`, an app opens or starts what workers cannot share"),
    "W093": Kind("A thread that loading an app starts runs in each worker"),
    "W094": Kind("The app serves some of its static files itself"),
    "E100": Kind("Compose rejects its files", True),
    "E101": Kind("A setting differs between the containers", True),
    "E102": Kind("The stop timeout of a container is shorter than `REQUEST_TIMEOUT`", True),
    "E110": Kind("A package of `APT_PACKAGES` is not installed"),
}


@dataclass(frozen=True)
class Finding:
    """An error or a warning.

    Args:
        id: of its kind.
        message: one sentence with the setting, its value and the fix.
    """

    id: str
    message: str

    @property
    def severity(self) -> Severity:
        """As the first letter of the id says."""
        return Severity.ERROR if self.id.startswith("E") else Severity.WARNING

    @property
    def blocking(self) -> bool:
        """Whether it ends a start or a rollout."""
        return KINDS[self.id].blocking


class NotCheckedError(Exception):
    """A subject cannot be checked on this machine; the message is the reason, in a few words."""
