"""Sites with apps whose responses are unusual."""

from pathlib import Path

import pytest

from tests.servers import Serve, Site

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def host_site(shared_site: Serve) -> Site:
    """The app in `apps/bodies.py` at /x, straight on this machine, in one worker."""
    return _bodies(shared_site, "host")


@pytest.fixture
def each_site(kind: str, shared_site: Serve) -> Site:
    """The same, by host and by container alike."""
    return _bodies(shared_site, kind)


def _bodies(shared_site: Serve, kind: str) -> Site:
    return shared_site(
        kind,
        files=(APPS / "bodies.py",),
        MOUNTS="/x=bodies:application",
        WORKERS=1,
        THREADS=8,
        REQUEST_TIMEOUT=30,
    )
