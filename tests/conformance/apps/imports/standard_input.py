"""Reads standard input, and asks a question."""

import sys

from imports import app_that_says

read = sys.stdin.read() if sys.stdin else ""
try:
    said = input("Which database? ")
except EOFError:
    said = "no input"
app = app_that_says(lambda: f"{read!r} {said}")
