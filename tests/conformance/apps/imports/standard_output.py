"""Replaces standard output."""

import io
import sys

from imports import app_that_says

real, sys.stdout = sys.stdout, io.StringIO()
print("kept")
kept, sys.stdout = sys.stdout.getvalue(), real
sys.stdout = io.TextIOWrapper(real.buffer, line_buffering=True)


def look() -> str:
    print("REPLACED output")
    return kept


app = app_that_says(look)
