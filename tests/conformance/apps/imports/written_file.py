"""Writes a file at import."""

import tempfile
from pathlib import Path

from imports import app_that_says

file = Path(tempfile.mkdtemp()) / "written"
file.write_text("at import")
app = app_that_says(file.read_text)
