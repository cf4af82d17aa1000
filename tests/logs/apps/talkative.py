"""An app that says something in every way there is."""

import logging
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable

from flask import Flask, Response, copy_current_request_context, request

app = Flask(__name__)
log = logging.getLogger("talkative.shop")

print("loaded, {not JSON}")
print("b", file=sys.stderr)


@app.get("/")
def fine() -> str:
    return "fine"


@app.get("/warn/<word>")
def warn(word: str) -> str:
    """In the app's own loggers."""
    app.logger.warning("app %s", word)
    log.error("shop %s", word, extra={"order": 7, "request_id": "theirs"})
    return word


@app.get("/boom/<word>")
def boom(word: str) -> str:
    app.logger.warning("before %s", word)
    raise LookupError(word)


@app.get("/print/<word>")
def prints(word: str) -> str:
    print("printed", word)
    print('{"own": "json"}', word)
    print(f'{{"own": "{word}"}}')
    print(f"two lines\n{word}")
    sys.stderr.write(f"part one {word}, ")
    sys.stderr.write("part two\n")
    request.environ["wsgi.errors"].write(f"to wsgi.errors {word}\n")
    warnings.warn(f"warned {word}", stacklevel=1)
    try:
        {}[word]
    except KeyError:
        try:
            int(word)
        except ValueError:
            traceback.print_exc()
    return word


@app.get("/thread/<word>")
def thread(word: str) -> str:
    @copy_current_request_context
    def with_context() -> None:
        log.warning("in a thread of %s", word)

    def fails() -> None:
        raise LookupError(word)

    for function in (with_context, fails):
        started = threading.Thread(target=function)
        started.start()
        started.join()
    return word


@app.get("/stream/<word>")
def stream(word: str) -> Response:
    def lines():
        yield "a"
        log.warning("in a stream %s", word)

    return Response(lines())


@app.get("/child/<word>")
def child(word: str) -> str:
    subprocess.run(["sh", "-c", f"echo {{child {word}; echo '{{\"n\": 1}}' >&2"], check=True)
    return word


@app.get("/slow/<word>")
def slow(word: str) -> str:
    time.sleep(30)
    return word


def plain(environ: dict, start_response: Callable) -> list[bytes]:
    """Without Flask."""
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [])
        return [b"fine"]
    raise LookupError(environ["PATH_INFO"])
