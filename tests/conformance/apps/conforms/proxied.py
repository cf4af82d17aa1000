"""An app behind ProxyFix, as Flask's documentation has it."""

import json

from flask import Flask, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__, static_folder=None)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)


@app.get("/")
def index() -> str:
    return json.dumps(
        [
            request.scheme,
            request.host,
            request.script_root,
            request.remote_addr == "6.6.6.6",
            url_for("index"),
            url_for("index", _external=True),
        ]
    )
