"""Sites whose workers get into trouble."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import Serve
from tests.workers.lab import APPS, Lab


@pytest.fixture
def lab(serve: Serve, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Start a site with the app in `apps/lab.py`, by knobs."""
    with contextlib.ExitStack() as stack:

        def start(**knobs: str | int) -> Lab:
            count = tmp_path / "count"
            count.touch()
            settings = {"WORKERS": 4, "THREADS": 4, "REQUEST_TIMEOUT": 2} | knobs
            site = serve(
                "host",
                files=[APPS / "lab.py"],
                MOUNTS="/path=lab:app",
                COUNT=str(count),
                **settings,
            )
            started = Lab(site, count)
            stack.callback(started.close)
            return started

        yield start
