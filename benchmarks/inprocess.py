"""The limit: the measured app called in its own process, with no server around it.

    python inprocess.py FOLDER SECONDS THREADS METHOD PATH [CONTENT_TYPE BODY_FILE]

calls it for that long in that many threads, and prints how many times, and the nanoseconds of CPU
and of time that they took. What a server cannot do without is included: an environ of the request's
own, and a body to read from.
"""

import re
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

RESULT = re.compile(r"RESULT (?P<calls>\d+) calls, (?P<cpu>\d+) ns, (?P<time>\d+) ns")


def main() -> None:
    """Call the app in FOLDER again and again."""
    folder, seconds, threads, method, path, *sent = sys.argv[1:]
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
        response = app(environ | {"wsgi.input": BytesIO(body)}, start_response)
        for _ in response:
            pass
        response.close()

    for _ in range(20):
        call()
    counts = []
    began, cpu = time.monotonic_ns(), time.process_time_ns()
    end = time.monotonic() + float(seconds)

    def call_again_and_again() -> None:
        count = 0
        while time.monotonic() < end:
            call()
            count += 1
        counts.append(count)

    started = [threading.Thread(target=call_again_and_again) for _ in range(int(threads))]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    taken = time.process_time_ns() - cpu
    print(f"RESULT {sum(counts)} calls, {taken} ns, {time.monotonic_ns() - began} ns")


if __name__ == "__main__":
    main()
