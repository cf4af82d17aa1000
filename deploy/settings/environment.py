"""The Python environment of the app, which uWSGI and the app's own commands run in.

On this machine it is below ``.app``, made by ``make install``. In an image and in tests, it is that
of the Python that runs this.
"""

import os
import sys
from pathlib import Path

from deploy.problems import Refusal

_BUNDLE = Path(__file__).resolve().parents[2]
DIRECTORY = _BUNDLE / ".app"
# A link to the environment that the next start uses.
CURRENT = DIRECTORY / "current"


def prefix() -> Path:
    """The directory of the environment.

    Not that of the link, which leads to another one after an installation.
    """
    return CURRENT.resolve() if CURRENT.exists() else Path(sys.prefix)


def program(name: str) -> Path:
    """A program of the environment, such as ``python``, ``uwsgi`` or ``flask``.

    Raises:
        Refusal: it is not installed.
    """
    path = prefix() / "bin" / name
    if not path.exists():
        raise Refusal(f"{path} does not exist; type: make install")
    return path


def hide_bundle() -> None:
    """Remove the bundle's directory from ``sys.path`` of uWSGI, unless the app is there.

    ``deploy`` has been imported from it, and its own modules are still found.
    """
    if not _BUNDLE.samefile(os.environ["APP_DIR"]):
        sys.path[:] = [path for path in sys.path if path.rstrip("/") != str(_BUNDLE)]
