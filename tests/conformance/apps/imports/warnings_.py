"""Warns while it is loaded."""

import warnings

from imports import app_that_says

warnings.warn("IMPORT warns", UserWarning, stacklevel=1)
app = app_that_says(lambda: "loaded")
