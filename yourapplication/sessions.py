"""Sessions that stay inside the mount."""

from contextlib import suppress

from flask import Flask, Request, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature


class MountSessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookie, for the mount that this request came through.

    Flask's own takes the cookie's path from the configuration alone and so ends
    at ``/``, where two apps on one host overwrite each other's session.
    """

    def get_cookie_path(self, app: Flask) -> str:
        """``SESSION_COOKIE_PATH`` if it is set, else the mount."""
        return app.config["SESSION_COOKIE_PATH"] or request.script_root or "/"

    def get_cookie_secure(self, app: Flask) -> bool:
        """True if ``SESSION_COOKIE_SECURE`` says so, or this request came over TLS."""
        return super().get_cookie_secure(app) or request.is_secure

    @property
    def salt(self) -> str:  # type: ignore[override]
        """What binds a signature to the path of its cookie.

        The path alone is not enough: a browser sends the cookie of an app at
        ``/`` to an app at ``/a`` as well, which would take that session for its
        own where both have one ``SECRET_KEY``.
        """
        return f"cookie-session {self.get_cookie_path(current_app)}"

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Take the first cookie that was signed for this path.

        Flask looks at the very first alone, but below a mount there may be two
        of one name, and a server should not rely on their order (RFC 6265, 4.2.2).
        """
        serializer = self.get_signing_serializer(app)
        if serializer is None:  # no SECRET_KEY: Flask then explains what is missing
            return None
        max_age = int(app.permanent_session_lifetime.total_seconds())
        for cookie in request.cookies.getlist(self.get_cookie_name(app)):
            with suppress(BadSignature):
                return self.session_class(serializer.loads(cookie, max_age=max_age))
        return self.session_class()
