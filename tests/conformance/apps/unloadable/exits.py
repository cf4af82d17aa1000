"""Exits, as a script with a wrong setting does."""

import sys

sys.exit("DATABASE_URL is not set")
