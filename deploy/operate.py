"""``rollout``, ``rollback`` and ``status``, for what is served from this folder.

That is a ``serve`` on this machine, systemd's among them, or else the containers of Compose.
"""

import argparse
import sys

from deploy import control, knobs, rollout, status
from deploy.docker import DockerError
from deploy.refusal import Refusal


def run(arguments: argparse.Namespace) -> int:
    """Run one of the three commands, and return its exit status."""
    run_dir = knobs.run_dir()
    served_here = control.answers(run_dir)
    try:
        match arguments.command:
            case "status" if served_here:
                status.show_host(run_dir)
            case "status":
                status.show_containers()
            case "rollback" if served_here:
                raise Refusal(
                    "what is served here is this folder; bring the files of the earlier release"
                    " back (git checkout ...), then type: python -m deploy rollout"
                )
            case "rollback":
                rollout.rollback(arguments.timeout)
            case "rollout" if served_here:
                if arguments.image:
                    raise Refusal("what is served here is this folder, and not an image.")
                return control.ask(run_dir, arguments.timeout)
            case "rollout":
                rollout.rollout(arguments.image, arguments.timeout)
    except (rollout.RolloutError, DockerError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0
