"""Switches the garbage collector off, and on again."""

import gc

from imports import app_that_says

gc.disable()
gc.collect()
gc.enable()
app = app_that_says(gc.isenabled)
