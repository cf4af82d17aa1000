"""``profile``: a flame graph of a live worker, by py-spy, while it serves.

py-spy reads the memory of the worker from outside, and neither pauses it nor runs code in it. For a
container, it runs in a second one that shares the process ids of the first: the capability for that
is there only, and the app's container stays as it is.
"""

import re
import subprocess
from pathlib import Path

from deploy.commands.status import INSTANCES
from deploy.install import packages
from deploy.problems import Refusal
from deploy.release.docker import Compose, docker
from deploy.server import instances
from deploy.server.instances import Instance, Worker
from deploy.settings import environment
from deploy.settings.knobs import PROJECT

_LONGEST = 3600
_PROGRAM = "/bundle/.app/py-spy/bin/py-spy"
_IN_CONTAINER = (
    *("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp"),
    *("--cap-drop", "ALL", "--cap-add", "SYS_PTRACE", "--security-opt", "no-new-privileges"),
)
# The graph is the output, and py-spy's messages are errors.
_SHELL = "sh", "-c", 'exec 3>&1 >&2 && exec "$@"', "sh"


def run(run_dir: Path | None, number: int, seconds: int, output: Path) -> None:
    """Write the flame graph of a worker of the live instance.

    Args:
        run_dir: RUN_DIR of a `serve` on this machine; None for a container.
        number: of the worker; 0 for the one that has most requests.
        seconds: how long to look.
        output: the SVG to write.

    Raises:
        Refusal: nothing is live, there is no such worker, or the file cannot be written.
    """
    if not 1 <= seconds <= _LONGEST:
        raise Refusal(f"--seconds is {seconds}; write a number from 1 to {_LONGEST}.")
    if run_dir:
        worker = _worker(instances.look(run_dir / "sockets"), number)
        command = [*_SHELL, str(packages.tool("py-spy", environment.DIRECTORY) / "py-spy")]
    else:
        container = Compose().live()
        said = container.execute(*INSTANCES) if container else ""
        worker = _worker(list(map(Instance.parse, said.splitlines())), number)
        image = docker("build", "--quiet", "--target", "profile", str(PROJECT)).strip()
        pids = f"--pid=container:{container.id}"
        command = ["docker", *_IN_CONTAINER, pids, image, *_SHELL, _PROGRAM]
    graph = _record(command, worker, seconds)
    try:
        output.write_text(graph)
    except OSError as error:
        raise Refusal(f"{output} cannot be written ({error.strerror}); set --output.") from None
    print(f"{output} has the flame graph of worker {worker.number}; open it in a browser.")


def _worker(found: list[Instance], number: int) -> Worker:
    workers = {one.number: one for instance in found if instance.live for one in instance.workers}
    if not workers:
        raise Refusal("nothing is live here, so there is no worker to profile.")
    if number and number not in workers:
        raise Refusal(f"there is no worker {number}; write a number from 1 to {max(workers)}.")
    busiest = max(workers.values(), key=lambda one: (len(one.requests), one.running_time))
    return workers.get(number, busiest)


def _record(command: list[str], worker: Worker, seconds: int) -> str:
    """The graph, from a command that runs py-spy with the options that follow."""
    command += ["record", "--nonblocking", "--format", "flamegraph", "--output", "/dev/fd/3"]
    command += ["--pid", str(worker.pid), "--duration", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No stack counts found" in done.stderr:
        raise Refusal(
            f"worker {worker.number} was idle for {seconds} seconds; send it requests, or set"
            " --seconds."
        )
    if done.returncode:
        reason = re.search(r"^Error: (.*)", done.stderr, re.MULTILINE)
        said = reason[1] if reason else " ".join(done.stderr.split())
        raise Refusal(f"worker {worker.number} cannot be profiled ({said}); try it as root.")
    return done.stdout
