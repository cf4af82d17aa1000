"""Parses the command line, as a script does."""

import argparse
import sys

from imports import app_that_says

parser = argparse.ArgumentParser()
parser.add_argument("--debug", action="store_true")
arguments = parser.parse_args()
number = len(sys.argv)
app = app_that_says(lambda: f"{arguments.debug} {number} {len(sys.argv)}")
