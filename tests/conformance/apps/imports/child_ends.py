"""Starts a child at import, and waits for its end."""

import subprocess

from imports import app_that_says

revision = subprocess.run(["echo", "abc123"], capture_output=True, text=True).stdout
app = app_that_says(lambda: revision)
