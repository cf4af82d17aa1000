"""``rollout``, ``rollback``, ``status``, ``recycle`` and ``profile``.

They apply to a ``serve`` on this machine (with systemd, too) if there is one, else to Compose.
"""

import argparse
import contextlib
import functools
import sys
from dataclasses import replace
from typing import Any

from deploy.commands import profile, status
from deploy.problems import Refusal
from deploy.release import control, rollout
from deploy.release.docker import DockerError
from deploy.settings import knobs


def run(arguments: argparse.Namespace) -> int:
    """Run one of these commands, and return its exit status."""
    run_dir = knobs.run_dir()
    served_here = control.is_up(run_dir)
    try:
        match arguments.command:
            case "status":
                look = functools.partial(status.host, run_dir) if served_here else status.containers
                with contextlib.suppress(KeyboardInterrupt):  # the end of --watch
                    status.show(
                        lambda: replace(
                            look(with_stacks=arguments.stacks), exporter=_of_exporter()
                        ),
                        arguments.output,
                    )
            case "recycle":
                status.recycle(arguments.worker, run_dir if served_here else None)
            case "profile":
                profile.run(
                    run_dir if served_here else None,
                    arguments.worker,
                    arguments.seconds,
                    arguments.output,
                )
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
    except (rollout.RolloutError, DockerError, TimeoutError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


def _of_exporter() -> dict[str, Any] | None:
    """What the exporter of metrics knows, if METRICS_PORT is set."""
    try:
        address, port, _ = knobs.metrics()
    except Refusal:
        return None
    host = f"[{address}]" if ":" in address else address
    return status.of_exporter(f"http://{host}:{port}/status.json")
