"""The containers of this project, through Docker's command line.

Not a library: a host needs only Docker and Python, without a virtual environment or a compiler.
"""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deploy.problems import Refusal
from deploy.settings.knobs import PROJECT


class DockerError(Exception):
    """A command of Docker failed; the message is its last line of output."""


def docker(*words: str, show: bool = False, timeout: float | None = None, **variables: str) -> str:
    """Run a command of Docker and return its output.

    Args:
        words: the command.
        show: print its output instead of returning it.
        timeout: seconds after which it is ended.
        variables: what its environment has besides this process's.

    Raises:
        DockerError: it failed.
        TimeoutError: it has not ended in time. What it has started may go on.
        Refusal: there is no such command on this machine.
    """
    try:
        done = subprocess.run(
            ["docker", *words],
            cwd=PROJECT,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"docker {words[0]} has not ended after {timeout:g} seconds") from None
    except FileNotFoundError:
        raise Refusal("docker is not installed; install it with its plugin for Compose.") from None
    if done.returncode:
        said = (done.stderr or "").strip().splitlines() or [f"exit status {done.returncode}"]
        raise DockerError(f"docker {words[0]} failed: {said[-1]}")
    return done.stdout or ""


@dataclass(frozen=True)
class Container:
    """A container, as it was when it was looked at.

    Args:
        id: its id.
        name: its name.
        instance: its host name, which is the name of its instance of uWSGI.
        image: the id of its image.
        state: ``created``, ``running``, ``exited`` and so on.
        health: ``starting``, ``healthy`` or ``unhealthy``; empty when it does not run.
        restarts: how often Docker has started it anew because it ended.
        exit_status: of its last end.
        labels: all of them, Compose's own among them.
    """

    id: str
    name: str
    instance: str
    image: str
    state: str
    health: str
    restarts: int
    exit_status: int
    labels: dict[str, str]

    @classmethod
    def inspect(cls, *ids: str) -> list[Self]:
        """The current state of containers."""
        return [
            cls(
                id=found["Id"],
                name=found["Name"].lstrip("/"),
                instance=found["Config"]["Hostname"],
                image=found["Image"],
                state=found["State"]["Status"],
                health=found["State"].get("Health", {}).get("Status", ""),
                restarts=found["RestartCount"],
                exit_status=found["State"]["ExitCode"],
                labels=found["Config"]["Labels"],
            )
            for found in (json.loads(docker("container", "inspect", *ids)) if ids else [])
        ]

    def now(self) -> Self:
        """The current state of the same container."""
        return self.inspect(self.id)[0]

    def execute(self, *words: str) -> str:
        """Run a command in it, and return its output; empty if it fails."""
        try:
            return docker("exec", self.id, *words).strip()
        except DockerError:
            return ""

    def logs(self, tail: int = 20) -> str:
        """The end of its log."""
        done = subprocess.run(
            ["docker", "logs", "--tail", str(tail), self.id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.stdout.rstrip()

    def start(self) -> None:
        """Start it."""
        docker("start", self.id)

    def remove(self, *, force: bool = False) -> None:
        """Remove it, after a graceful stop unless forced."""
        if not force:
            docker("stop", self.id)
        docker("rm", "--force", self.id)


class Compose:
    """Compose, with the files that the running containers were started with.

    A release cannot lose the overlay for production. ``COMPOSE_FILE`` and ``COMPOSE_PROJECT_NAME``
    apply as in Compose.

    Raises:
        Refusal: the containers were started from another directory.
    """

    def __init__(self) -> None:
        self._files: list[str] = []
        for container in self.containers():
            files = container.labels["com.docker.compose.project.config_files"].split(",")
            for file in files:
                if not Path(file).is_relative_to(PROJECT):
                    raise Refusal(
                        f"{container.name} was started with {file}, which is not in {PROJECT};"
                        " do this in the directory that it was started from."
                    )
            self._files = [word for file in files for word in ("--file", file)]

    def run(
        self, *words: str, image: str = "", show: bool = False, timeout: float | None = None
    ) -> str:
        """Run a command of Compose.

        Args:
            words: the command.
            image: the image of the app.
            show: print its output instead of returning it.
            timeout: seconds after which it is ended.
        """
        variables = {"APP_IMAGE": image} if image else {}
        return docker("compose", *self._files, *words, show=show, timeout=timeout, **variables)

    def containers(self, service: str = "app") -> list[Container]:
        """All containers of a service, oldest first."""
        ids = self.run("ps", "--all", "--quiet", service).split()
        number = "com.docker.compose.container-number"
        return sorted(Container.inspect(*ids), key=lambda found: int(found.labels[number]))

    def live(self) -> Container | None:
        """The live container."""
        running = [found for found in self.containers() if found.state == "running"]
        link = next(filter(None, map(live_socket, running)), "")
        return next((found for found in running if f"{found.instance}.sock" == link), None)

    @functools.cached_property
    def image(self) -> str:
        """The name of the image that `docker compose up` starts."""
        # Not `config --images app`, which also lists those of the services that it depends on.
        name = self.configuration["services"]["app"].get("image") or f"{self.name}-app"
        return name if ":" in name.rpartition("/")[2] else f"{name}:latest"

    @functools.cached_property
    def configuration(self) -> dict[str, Any]:
        """The merged files, with all settings."""
        return json.loads(self.run("config", "--format", "json"))

    @property
    def name(self) -> str:
        """The name of the project."""
        return self.configuration["name"]


def live_socket(container: Container) -> str:
    """The name of the live socket, from a container."""
    return container.execute("sh", "-c", 'readlink "$RUN_DIR/sockets/live.sock"')
