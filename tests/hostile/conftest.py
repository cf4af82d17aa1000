from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.hostile.recipe import Recipe
from tests.hostile.sizes import PROBE
from tests.servers import Site


@pytest.fixture
def site(kind: str, shared_site: Serve) -> Site:
    """The probe at /path, with limits that are quick to reach. Do not break it."""
    return shared_site(kind, files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")


@pytest.fixture
def host_site(shared_site: Serve) -> Site:
    """The same, straight on this machine."""
    return shared_site("host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")


@pytest.fixture(scope="session")
def recipe() -> Iterator[Recipe]:
    with Recipe(PROBE) as started:
        yield started
