"""Sets a handler for SIGTERM, which a server needs for itself."""

import signal

from imports import app_that_says

signal.signal(signal.SIGTERM, lambda *_: None)
app = app_that_says(lambda: "loaded")
