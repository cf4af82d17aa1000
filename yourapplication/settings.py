"""Settings of the app, from its environment."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def secret_key(environ: Mapping[str, str] = os.environ) -> str:
    """The key that signs sessions and CSRF tokens.

    It is ``SECRET_KEY``, or else what the file named by ``SECRET_KEY_FILE``
    holds, without the white space around it. Empty counts as unset.

    :raises RuntimeError: if that file cannot be read.
    """
    if key := environ.get("SECRET_KEY"):
        return key
    if name := environ.get("SECRET_KEY_FILE"):
        try:
            key = Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise RuntimeError(f"SECRET_KEY_FILE {name!r} cannot be read: {reason}.") from error
        if key:
            return key
    # Secure, but new at each start of the app, which ends all sessions and
    # invalidates open forms.
    return secrets.token_hex(32)


def database_url(environ: Mapping[str, str] = os.environ) -> str:
    """``DATABASE_URL``, empty for an app without a database.

    A relative SQLite file, as in ``sqlite:///entries.db``, is in ``DATA_DIR``.
    """
    # Some hosts say postgres://, which SQLAlchemy does not know.
    return environ.get("DATABASE_URL", "").replace("postgres://", "postgresql://", 1)
