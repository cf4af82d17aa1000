"""Computes in a process pool at import."""

import multiprocessing

from imports import app_that_says

with multiprocessing.get_context("fork").Pool(2) as pool:
    numbers = pool.map(abs, [-1, -2])
app = app_that_says(lambda: numbers)
