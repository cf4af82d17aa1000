"""The same app with Werkzeug's debugger in the usual setup under uWSGI."""

from failing import app
from flask import Flask
from werkzeug.debug import DebuggedApplication

app.config["PROPAGATE_EXCEPTIONS"] = True
app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True, pin_security=False)
wrapped = DebuggedApplication(Flask("wrapped"), evalex=True)
