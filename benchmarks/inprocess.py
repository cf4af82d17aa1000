"""The limit: the measured app called in its own process, with no server around it.

    python inprocess.py FOLDER SECONDS METHOD PATH [CONTENT_TYPE BODY_FILE]

calls it for that long and prints how many times, and the nanoseconds of CPU they took. What a
server cannot do without is included: an environ of the request's own, and a body to read from.
"""

import re
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

RESULT = re.compile(r"RESULT (?P<calls>\d+) calls, (?P<cpu>\d+) ns")


def main() -> None:
    """Call the app in FOLDER again and again."""
    folder, seconds, method, path, *sent = sys.argv[1:]
    sys.path.insert(0, folder)
    from measured import app
    from werkzeug.test import EnvironBuilder

    content_type, body = (sent[0], Path(sent[1]).read_bytes()) if sent else (None, b"")
    request = EnvironBuilder(
        base_url="http://127.0.0.1/path/", path=path, method=method, content_type=content_type
    )
    environ = request.get_environ() | {"CONTENT_LENGTH": str(len(body)) if body else ""}

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        if not status.startswith("200"):
            raise SystemExit(f"{method} {path}: {status}")

    def call() -> None:
        answer = app(environ | {"wsgi.input": BytesIO(body)}, start_response)
        for _ in answer:
            pass
        answer.close()

    for _ in range(200):
        call()
    count, began, end = 0, time.process_time_ns(), time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for _ in range(10):
            call()
        count += 10
    print(f"RESULT {count} calls, {time.process_time_ns() - began} ns")


if __name__ == "__main__":
    main()
