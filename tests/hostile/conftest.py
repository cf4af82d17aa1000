import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

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


# --- HOSTILE_DEBUGGER=1 pytest tests/hostile: the whole suite with the debugger on ---

WITH_DEBUGGER = {
    "UWSGI_DEBUG": "1",
    "DEBUG_ALLOW": "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "WERKZEUG_DEBUG_PIN": "a-pin-2345-for-the-hostile-suite",
    "SECRET_KEY": "a key for 9 hostile suites",
}
if not os.environ.get("HOSTILE_DEBUGGER"):
    WITH_DEBUGGER = {}
# A query in nginx's error log, or in the access log of a site with the debugger on.
QUERY = re.compile(r'(request: "|referrer: "|"uri":")[^"]*\?(?!\.\.\.)')


def assert_no_secret_is_logged(sites: Iterable[Site]) -> None:
    for site in sites:
        lines = site.logs().splitlines()
        for name in ("WERKZEUG_DEBUG_PIN", "SECRET_KEY"):
            secret = site.environment[name]
            found = [line for line in lines if secret in line and "*** Debugger PIN" not in line]
            assert not found, f"{name} is in the log: {found[:9]}"
        found = [line for line in lines if QUERY.search(line)]
        assert not found, f"{len(found)} queries are in the log: {found[:9]}"


def with_debugger(serve: Serve) -> Iterator[Serve]:
    sites: set[Site] = set()

    def started(kind: str, **options: Any) -> Site:
        sites.add(site := serve(kind, **WITH_DEBUGGER | options))
        return site

    yield started
    if WITH_DEBUGGER:
        assert_no_secret_is_logged(sites)


@pytest.fixture
def serve(serve: Serve) -> Iterator[Serve]:
    yield from with_debugger(serve)


@pytest.fixture(scope="session")
def shared_site(shared_site: Serve) -> Iterator[Serve]:
    yield from with_debugger(shared_site)
