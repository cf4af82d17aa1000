"""Chooses a start method for multiprocessing."""

import multiprocessing

from imports import app_that_says

multiprocessing.set_start_method("spawn", force=True)
app = app_that_says(multiprocessing.get_start_method)
