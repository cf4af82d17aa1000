"""Changes the working directory."""

import os
import tempfile
from pathlib import Path

from imports import app_that_says

os.chdir(tempfile.gettempdir())
app = app_that_says(lambda: str(Path.cwd()) == tempfile.gettempdir())
