"""Sites whose workers get into trouble."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import Serve
from tests.workers.lab import APPS, Lab


@pytest.fixture
def lab(serve: Serve, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Start a site with the app in `apps/lab.py`, or another one that imports it, by knobs."""
    with contextlib.ExitStack() as stack:

        def start(app: str = "lab", **knobs: str | int) -> Lab:
            count = tmp_path / "count"
            count.touch()
            settings = {"WORKERS": 4, "THREADS": 4, "REQUEST_TIMEOUT": 2} | knobs
            site = serve(
                "host",
                files=[APPS / "lab.py", APPS / f"{app}.py"],
                MOUNTS=f"/path={app}:app",
                COUNT=str(count),
                **settings,
            )
            started = Lab(site, count)
            stack.callback(started.close)
            return started

        yield start
