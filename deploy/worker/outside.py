"""404 for requests outside the mounts, where there is no nginx: `make local` and `make dev`."""

import os
from typing import Any

from deploy.settings import mounts

_PATHS = " and ".join(f"{mount.prefix}/" for mount in mounts.parse(os.environ["MOUNTS"]))
_BODY = f"No app is mounted here. MOUNTS has {_PATHS}.\n".encode()


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Respond with 404 to any request."""
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(_BODY)))]
    start_response("404 Not Found", headers)
    return [_BODY]
