"""Opens a file at import, and reads it in requests."""

from pathlib import Path

from imports import app_that_says

file = Path(__file__).open()  # noqa: SIM115


def look() -> str:
    file.seek(0)
    return file.readline()


app = app_that_says(look)
