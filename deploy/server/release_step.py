"""The release step: RELEASE_COMMAND, once before a new release goes live."""

import os
import shlex
import sys
from pathlib import Path

from deploy.problems import Refusal
from deploy.settings.knobs import PROJECT, Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by ``RELEASE_COMMAND``; return when there is none.

    It has the app's environment and directory, and the programs of this Python's environment.

    Raises:
        Refusal: there is no such program.
    """
    words = shlex.split(knobs.environment["RELEASE_COMMAND"])
    if not words:
        return
    print(f"RELEASE_COMMAND: {shlex.join(words)}", flush=True)
    os.chdir(PROJECT)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    try:
        os.execvpe(words[0], words, knobs.environment | {"PATH": path})
    except OSError as error:
        raise Refusal(
            f"RELEASE_COMMAND is {shlex.join(words)!r}, which cannot be run ({error.strerror})."
        ) from None
