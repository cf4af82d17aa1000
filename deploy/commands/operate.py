"""``rollout``, ``rollback`` and ``status``.

They apply to a ``serve`` on this machine (with systemd, too) if there is one, else to Compose.
"""

import argparse
import sys

from deploy.commands import status
from deploy.problems import Refusal
from deploy.release import control, rollout
from deploy.release.docker import DockerError
from deploy.settings import knobs


def run(arguments: argparse.Namespace) -> int:
    """Run one of the three commands, and return its exit status."""
    run_dir = knobs.run_dir()
    served_here = control.is_up(run_dir)
    try:
        match arguments.command:
            case "status" if served_here:
                status.show_host(run_dir)
            case "status":
                status.show_containers()
            case "rollback" if served_here:
                raise Refusal(
                    "`serve` serves this checkout; check out the previous release (git checkout"
                    " ...), then type: python -m deploy rollout"
                )
            case "rollback":
                rollout.rollback(arguments.timeout)
            case "rollout" if served_here:
                if arguments.image:
                    raise Refusal("`serve` serves this checkout, not an image; leave IMAGE out.")
                return control.ask(run_dir, arguments.timeout)
            case "rollout":
                rollout.rollout(arguments.image, arguments.timeout)
    except (rollout.RolloutError, DockerError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0
