"""Changes the environment, settings of a server among it."""

import os

from imports import app_that_says

os.environ["MADE_AT_IMPORT"] = "yes"
for name in ("REQUEST_TIMEOUT", "WORKERS", "SOCKETS", "INSTANCE", "RUN_DIR"):
    os.environ[name] = "nonsense"
app = app_that_says(lambda: f"{os.environ['MADE_AT_IMPORT']} {os.environ['REQUEST_TIMEOUT']}")
