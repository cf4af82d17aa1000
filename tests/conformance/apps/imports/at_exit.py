"""Registers what is done at the end."""

import atexit

from imports import app_that_says, say

atexit.register(say, "IMPORT at exit")
app = app_that_says(lambda: "loaded")
