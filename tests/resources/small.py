"""A site whose disks and memory are small, and what uses them up."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers import ComposeSite, Serve, until

HERE = Path(__file__).parent
SCARCE = HERE / "apps" / "scarce.py"
SECONDS = 60
# By what there is none of: a shell script, with the directory.
FILL = {
    "space": "cat /dev/zero >{0}/fill 2>/dev/null",
    "inodes": "mkdir {0}/fill && cd {0}/fill && for n in $(seq 300); do : >$n; done 2>/dev/null",
}
# More than nginx and uWSGI keep in memory.
BODY = b"x" * 100_000


def small_site(shared_site: Serve) -> ComposeSite:
    """The app `scarce` at /x, in containers with 4 MB and 200 inodes on each disk."""
    return shared_site(
        "compose",
        files=(SCARCE, SCARCE.with_name("static"), HERE / "small.yml"),
        MOUNTS="/x=scarce:app",
        COMPOSE_FILE="docker-compose.yml:small.yml",
        WORKERS=2,
        THREADS=4,
        APP_MEMORY="128m",
    )


@contextlib.contextmanager
def full(site: ComposeSite, service: str, directory: str, script: str) -> Iterator[None]:
    """Fill a directory with such a script, until the block ends."""
    (container,) = site.containers(service)

    def run(command: str) -> None:
        subprocess.run(["docker", "exec", container, "sh", "-c", command], check=False)

    run(script.format(directory))
    try:
        yield
    finally:
        run(f"rm -r {directory}/fill")


@contextlib.contextmanager
def limited_processes(site: ComposeSite, limit: int) -> Iterator[None]:
    """Set pids_limit of the app's container, until the block ends."""
    (container,) = site.containers("app")

    def update(number: int) -> None:
        command = ["docker", "update", f"--pids-limit={number}", container]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    update(limit)
    try:
        yield
    finally:
        update(4096)


def logged(site: ComposeSite, service: str, seen: int, pattern: str) -> str:
    """What a service has logged since then, once the pattern is found there."""

    def log() -> str:
        return site.logs(service)[seen:]

    until(lambda: re.search(pattern, log()), f"{pattern!r} in the log", SECONDS)
    return log()


def all_workers_serve(site: ComposeSite) -> bool:
    """Whether each worker that has ended has a successor."""
    log = site.logs("app")
    ended = log.count("DAMN ! worker") + log.count("takes no new requests")
    return ended == log.count("Respawned uWSGI worker")
