"""Standard output and error as the app's log: whole lines, at once.

Python writes to a pipe or a file when 8 kB have come together, which is late. With
PYTHONUNBUFFERED, a ``print()`` is two writes, and the lines of several threads and workers get
mixed. With a buffer for each line, it is one write.
"""

import contextlib
import io
import os
import sys
from typing import TextIO

# Bytes of the longest line that is one write.
_LONGEST = 1024**2


def _whole_lines(stream: TextIO) -> TextIO:
    file = io.FileIO(stream.fileno(), "w", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(file, _LONGEST),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
    text._CHUNK_SIZE = _LONGEST  # what it holds itself until there is a line
    return text


def write(text: str) -> None:
    """Write a message of the bundle's own, whatever the app has made of the streams."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))


def flush() -> None:
    """Write what the app has printed without the end of a line."""
    for stream in (_out, _error):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


sys.stdout = sys.__stdout__ = _out = _whole_lines(sys.stdout)
sys.stderr = sys.__stderr__ = _error = _whole_lines(sys.stderr)
