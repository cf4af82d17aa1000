"""Prints while it is loaded."""

import sys

from imports import app_that_says

print("IMPORT prints")
sys.stdout.write("IMPORT writes\n")
print("IMPORT complains", file=sys.stderr)
app = app_that_says(lambda: "loaded")
