"""What an app may look up about itself."""

import sys
from pathlib import Path

from imports import app_that_says

name = __name__
main = sys.modules["__main__"].__name__
app = app_that_says(lambda: f"{name} {main} {Path(__file__).name} {__name__ in sys.modules}")
