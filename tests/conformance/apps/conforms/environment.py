"""The environment: variables of each spelling, encodings, the directory, the user."""

import locale
import os
import sys
import tempfile
import time
from pathlib import Path

from flask import Blueprint, current_app

bp = Blueprint("environment", __name__, url_prefix="/environment")
AT_IMPORT = dict(os.environ)


@bp.get("/variable/<name>")
def variable(name: str) -> str:
    return repr(os.environ.get(name))


def _print() -> str:
    print("PRINT from a view, ünïcödé")
    return "printed"


def _stderr() -> str:
    print("PRINT to standard error", file=sys.stderr)
    return "printed"


def _log() -> str:
    current_app.logger.error("LOGGED by the app's logger")
    return "logged"


def _long_line() -> str:
    print("LONG" + "x" * 5000 + "END")
    return "printed"


def _no_newline() -> str:
    sys.stdout.write("no line ")
    sys.stdout.write("of its own PART\n")
    return "printed"


def _temporary() -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
        return str(Path(file.name).exists())


LOOKS = {
    "print": _print,
    "stderr": _stderr,
    "log": _log,
    "long-line": _long_line,
    "parts": _no_newline,
    "stdout-encoding": lambda: sys.stdout.encoding.lower(),
    "filesystem-encoding": lambda: sys.getfilesystemencoding(),
    "preferred-encoding": lambda: locale.getpreferredencoding(False).lower(),
    "directory": lambda: str((Path.cwd() / "conforms").exists()),
    "temporary": _temporary,
    "same-at-import": lambda: str([n for n in AT_IMPORT if n not in os.environ]),
    "path": lambda: str(all(Path(p).is_absolute() for p in os.environ["PATH"].split(":"))),
    "executable": lambda: str(Path(sys.executable).name.startswith("python")),
    "prefix": lambda: str(sys.prefix != sys.base_prefix),
    "zone": lambda: str(time.tzname),
    "uwsgi-variables": lambda: str([n for n in os.environ if n.startswith("UWSGI_")]),
    "debug": lambda: f"{current_app.debug} {current_app.testing}",
    "optimised": lambda: str(__debug__),
    "recursion": lambda: str(sys.getrecursionlimit()),
    "utf8-mode": lambda: Path(__file__).read_text()[:3],
    "open-files": lambda: str(os.sysconf("SC_OPEN_MAX") >= 1024),
    "hash-seed": lambda: str(os.environ.get("PYTHONHASHSEED")),
}


@bp.get("/<name>")
def look(name: str) -> str:
    return LOOKS[name]()
