"""The release step, once before a new release goes live: RELEASE_COMMAND, or the Procfile's."""

import os
import shlex

from deploy.problems import Refusal
from deploy.settings import environment, procfile
from deploy.settings.knobs import Knobs


def exists(knobs: Knobs) -> bool:
    """Whether there is one."""
    return bool(knobs.environment["RELEASE_COMMAND"] or knobs.procfile.get("release"))


def become(knobs: Knobs) -> None:
    """Replace this process by the release step; return when there is none.

    It has the app's environment and directory, and the programs of its environment.

    Raises:
        Refusal: there is no such program.
    """
    words = shlex.split(knobs.environment["RELEASE_COMMAND"])
    if words:
        print(f"RELEASE_COMMAND: {shlex.join(words)}", flush=True)
    elif command := knobs.procfile.get("release"):
        print(f"Procfile's release: {command}", flush=True)
        words = procfile.shell(command)
    else:
        return
    os.chdir(knobs.app_dir)
    path = f"{environment.program('python').parent}:{os.environ['PATH']}"
    try:
        os.execvpe(words[0], words, knobs.environment | {"PATH": path})
    except OSError as error:
        raise Refusal(
            f"RELEASE_COMMAND is {shlex.join(words)!r}, which cannot be run ({error.strerror})."
        ) from None
