"""Changes limits of the interpreter."""

import sys

from imports import app_that_says

sys.setrecursionlimit(5000)
sys.setswitchinterval(0.01)
app = app_that_says(lambda: f"{sys.getrecursionlimit()} {sys.getswitchinterval()}")
