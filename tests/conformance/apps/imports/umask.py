"""Changes the umask."""

import os
import tempfile
from pathlib import Path

from imports import app_that_says

os.umask(0o077)


def look() -> str:
    folder = Path(tempfile.mkdtemp())
    (folder / "file").touch()
    return oct((folder / "file").stat().st_mode & 0o777)


app = app_that_says(look)
