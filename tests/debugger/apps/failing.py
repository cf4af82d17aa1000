"""An app that knows nothing of this bundle, and fails in all the ways an app can."""

import io
import os
import time
from pathlib import Path

from flask import Flask, Response, render_template_string, request, send_file, session

app = Flask(__name__)
app.secret_key = "not a secret of any user"


def count_run():
    """Leave a trace of each run of a view that fails, for all workers in one file."""
    with Path(os.environ["RUNS"]).open("ab", buffering=0) as file:
        file.write(b".")


@app.route("/fine/<token>")
def fine(token):
    time.sleep(0.002)
    return token


@app.route("/worker")
def worker():
    return str(os.getpid())


@app.route("/view/<token>")
def view(token):
    count_run()
    raise ValueError(f"in a view, {token}")


@app.route("/template/<token>")
def template(token):
    count_run()
    return render_template_string("<p>{{ token }}</p>{{ 1 / nothing }}", token=token, nothing=0)


@app.route("/generator/<token>")
def generator(token):
    def chunks():
        count_run()
        raise RuntimeError(f"before the first chunk, {token}")
        yield token

    return Response(chunks(), headers={"X-From-The-App": "yes"})


@app.route("/late-generator/<token>")
def late_generator(token):
    def chunks():
        yield "first chunk,"
        count_run()
        raise RuntimeError(f"after the first chunk, {token}")

    return Response(chunks())


@app.route("/nested/<token>")
def nested(token):
    def deeper(token, depth):
        if depth:
            return deeper(token, depth - 1)
        try:
            return {}[token]
        except KeyError as error:
            raise LookupError(f"in a nested call, {token}") from error

    count_run()
    return deeper(token, 5)


@app.route("/endless/<token>")
def endless(token):
    return endless(token)


@app.route("/body/<token>", methods=["POST"])
def body(token):
    count_run()
    raise ValueError(f"before the body is read, {token}")


@app.route("/half-read-body/<token>", methods=["POST"])
def half_read_body(token):
    begin = request.stream.read(10)
    raise ValueError(f"in the middle of the body, {token}, {begin}")


@app.route("/endless-stream")
def endless_stream():
    def chunks():
        try:
            while True:
                yield "x" * 10_000
        finally:
            count_run()

    return Response(chunks())


@app.route("/file")
def file():
    return send_file(io.BytesIO(b"\n" * 1_000_000), "text/plain")


@app.route("/close/<token>")
def close(token):
    response = Response("all of the response,")

    @response.call_on_close
    def closed():
        count_run()
        if token == "fail":
            raise RuntimeError("while closing")

    return response


@app.route("/megabyte/<token>")
def megabyte(token):
    ballast = bytearray(1024 * 1024)
    raise ValueError(f"with {len(ballast)} bytes, {token}")


@app.route("/megabyte-in-a-template/<token>")
def megabyte_in_a_template(token):
    ballast = bytearray(1024 * 1024)
    return render_template_string("{{ 1 / nothing }}", ballast=ballast, nothing=0)


@app.route("/megabyte-behind-another/<token>")
def megabyte_behind_another(token):
    def inner():
        ballast = bytearray(1024 * 1024)
        raise KeyError(len(ballast))

    try:
        inner()
    except KeyError as error:
        raise ValueError from error


@app.route("/surrogate")
def surrogate():
    raise ValueError("half a pair: \udcff")


@app.route("/login/<name>")
def login(name):
    session["name"] = name
    return "welcome"


@app.route("/console")
def console():
    return "the app's own console"


class Handled(Exception):
    """An exception that the app has a handler for."""


@app.errorhandler(Handled)
def handled(error):
    return "the app's own handler", 418


@app.errorhandler(500)
def internal_error(error):
    return "the app's own 500 page", 500


@app.route("/handled")
def raise_handled():
    raise Handled


@app.route("/print/<token>")
def print_token(token):
    print(token)
    return token


def create_app():
    """The same app, as a factory makes it."""
    return app


class Middleware:
    """What stands between the server and the app, and hides that there is a Flask app in it."""

    def __init__(self, wsgi_app):
        self.wsgi_app_inside = wsgi_app

    def __call__(self, environ, start_response):
        return self.wsgi_app_inside(environ, start_response)


hidden = Middleware(app)
