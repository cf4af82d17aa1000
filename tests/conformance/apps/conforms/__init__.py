"""An app with a route for each row of the conformance table. It knows nothing of a server."""

from flask import Flask

from . import bodies, children, environment, forks, headers, sessions, threads, uploads

app = Flask(__name__, static_folder=None)
app.secret_key = "one key for all three servers"
for module in (bodies, children, environment, forks, headers, sessions, threads, uploads):
    app.register_blueprint(module.bp)


@app.get("/")
def index() -> str:
    return "up"
