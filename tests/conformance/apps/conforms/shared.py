"""What the routes have in common: a directory for notes that all workers see, and the log."""

import os
import sys
import tempfile
from pathlib import Path

NOTES = Path(tempfile.gettempdir()) / os.environ.get("CONFORMANCE_SITE", "conformance")
NOTES.mkdir(exist_ok=True)


def note(name: str) -> None:
    """Count one more of this name."""
    with (NOTES / name).open("a") as file:
        file.write("x")


def notes(name: str) -> str:
    """How many there are of this name."""
    file = NOTES / name
    return str(len(file.read_text()) if file.exists() else 0)


def say(*words: object) -> None:
    """Write one line to the log, at once."""
    sys.stderr.write(" ".join(map(str, words)) + "\n")
    sys.stderr.flush()
