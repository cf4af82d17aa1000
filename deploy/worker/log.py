"""Line buffering of standard output and error, the log of the app.

Python buffers 8 kB for a pipe or a file, which delays lines. With PYTHONUNBUFFERED, a ``print()``
is two writes, and lines of threads and workers get mixed. Here each line is one write.
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
    text._CHUNK_SIZE = _LONGEST  # its own buffer for an incomplete line
    return text


def write(text: str) -> None:
    """Write a message of this bundle, even if the app has replaced the streams."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="backslashreplace"))


def flush() -> None:
    """Write incomplete lines of the app."""
    for stream in (_out, _error):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


sys.stdout = sys.__stdout__ = _out = _whole_lines(sys.stdout)
sys.stderr = sys.__stderr__ = _error = _whole_lines(sys.stderr)
