"""The site that is shared by these tests."""

import pytest

from tests.resources import small
from tests.servers import ComposeSite, Serve


@pytest.fixture
def small_site(shared_site: Serve) -> ComposeSite:
    """Small disks and little memory."""
    return small.small_site(shared_site)
