"""Sites of several machines behind HAProxy, as docs/scaling.md has it."""

import os
import re

import pytest

from tests.scaling.machines import are_missing
from tests.servers import PROJECT

# Requests that each change is made under. For the figures in docs/scaling.md: REQUESTS=20000.
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
DRAIN_DELAY = 6
# Seconds that a request to a machine without power may take, which fails after some 6 s.
SLOW = 25
BLOCKS = re.findall(r"^```\n(.*?)^```$", (PROJECT / "docs/scaling.md").read_text(), re.M | re.S)
HAPROXY = next(block for block in BLOCKS if block.startswith("defaults\n"))
PASS_THROUGH = next(block for block in BLOCKS if block.startswith("frontend web\n    mode tcp\n"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if reason := are_missing():
        for item in items:
            if {"machines", "swarm"}.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.skip(reason=reason))
