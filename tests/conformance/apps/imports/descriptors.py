"""Closes descriptors that it does not know, as daemons do before they fork."""

import contextlib
import os

from imports import app_that_says

for number in range(100, 200):
    with contextlib.suppress(OSError):
        os.close(number)
app = app_that_says(lambda: "loaded")
