"""What loading the apps shows: the preflight's findings, without a start."""

import os
from collections.abc import Iterator

from deploy import preflight
from deploy.checks.finding import Finding, error, warning
from deploy.knobs import Knobs
from deploy.refusal import Refusal


def look(knobs: Knobs) -> Iterator[Finding]:
    """What the preflight says about the apps."""
    rejected = False
    with os.fdopen(os.memfd_create("said"), "w+", errors="replace") as said:
        try:
            preflight.run(knobs, publish=False, error=said.fileno())
        except Refusal as refusal:
            yield error(str(refusal))
        except SystemExit:
            rejected = True
        said.seek(0)
        lines = said.read().splitlines()
    marked = [line.removeprefix("deploy: ") for line in lines if line.startswith("deploy: ")]
    for number, sentence in enumerate(marked, start=1):
        if rejected and number == len(marked):
            yield error(sentence)
        elif not sentence.endswith(f"{preflight.SAFE}."):
            yield warning(sentence)
