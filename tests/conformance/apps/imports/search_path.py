"""Adds a directory of modules."""

import sys
import tempfile
from pathlib import Path

from imports import app_that_says

folder = Path(tempfile.mkdtemp())
(folder / "made_at_import.py").write_text("answer = 42\n")
sys.path.insert(0, str(folder))


def look() -> int:
    import made_at_import

    return made_at_import.answer


app = app_that_says(look)
