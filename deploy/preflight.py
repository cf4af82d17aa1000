"""Load every app once, in a process of its own, before a server is started with it.

Run as ``python -m deploy preflight``. An app that cannot be loaded is refused here, with its own
traceback and a sentence, while whatever serves now goes on undisturbed. While the apps are at
hand, their static files are published for nginx.
"""

import sys
import traceback
from pathlib import Path

from deploy import mounts, static
from deploy.mounts import Mount
from deploy.refusal import Refusal


def check(found: list[Mount], static_root: Path) -> None:
    """Load each mount and publish its static files below ``static_root``.

    Raises:
        Refusal: an app cannot be loaded. Its traceback is on standard error by then.
    """
    for mount in found:
        try:
            app = mounts.load(mount)
        except Refusal:
            raise
        # SystemExit too: an app that calls sys.exit() while it is imported must not look loaded.
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=sys.stderr)
            raise Refusal(
                f"MOUNTS: {mount.target!r} cannot be loaded ({type(error).__name__}: {error});"
                " mend what the traceback above shows."
            ) from None
        static.publish(app, mount, static_root)
