"""Findings of the preflight, which loads the apps without a start."""

import os
import re
from collections.abc import Iterator

from deploy.problems import Finding, Refusal
from deploy.server import preflight
from deploy.settings.knobs import Knobs


def look(knobs: Knobs) -> Iterator[Finding]:
    """Load the apps, and report what the preflight logs."""
    rejected = False
    with os.fdopen(os.memfd_create("log"), "w+", errors="replace") as log:
        try:
            preflight.run(knobs, publish=False, error=log.fileno())
        except Refusal as refusal:
            yield Finding("E090", str(refusal))
        except SystemExit:
            rejected = True
        log.seek(0)
        lines = [line.removeprefix("deploy: ") for line in log if line.startswith("deploy: ")]
    if rejected:
        yield Finding("E090", lines.pop().rstrip())
    for line in lines:
        if found := re.match(r"(W\d{3}) (.*)", line):
            yield Finding(found[1], found[2])
