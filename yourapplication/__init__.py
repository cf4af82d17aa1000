"""A small Flask app, there to be looked at and then replaced with yours.

It reads where it is mounted from each request (``SCRIPT_NAME``), and reaches
every page with ``url_for``, so it works at ``/``, at ``/path`` and at ``/a/b``
without a setting.
"""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import pages
from .converters import BoolConverter
from .sessions import MountSessionInterface
from .settings import database_url, secret_key

__all__ = ["app", "create_app"]


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the app.

    :param config: settings that go before the app's own.
    :raises RuntimeError: if ``SECRET_KEY_FILE`` cannot be read.
    """
    # DATA_DIR is where files survive a new release.
    app = Flask(__name__, instance_path=os.environ.get("DATA_DIR") or None)
    app.config.update(
        SECRET_KEY=secret_key(),
        SQLALCHEMY_DATABASE_URI=database_url(),
        # Another site's form can then not post with our visitor's session.
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.update(config or {})
    app.session_interface = MountSessionInterface()
    app.url_map.converters["bool"] = BoolConverter
    app.register_blueprint(pages.bp)
    if app.config["SQLALCHEMY_DATABASE_URI"]:
        # SQLAlchemy and Alembic take most of a second to import.
        from . import entries

        entries.init_app(app)
    return app


app = create_app()
