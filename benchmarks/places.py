"""Where the stacks run: on this machine as it is, or in containers on it."""

import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks import usage
from tests.servers import PROJECT, ComposeSite, HostSite, NotServedError, Site

_HERE = Path(__file__).parent
_CONTAINERS = _HERE / "containers"
_IN_PROCESS = "inprocess.py"


class Program(ABC):
    """A server that was started."""

    @property
    @abstractmethod
    def root(self) -> int:
        """Its process, from which all others of it descend."""

    @abstractmethod
    def stop(self) -> None:
        """Leave nothing of it."""

    @abstractmethod
    def log(self) -> str:
        """What it said."""


class Place(ABC):
    """A place to run everything in; open for as long as the block lasts."""

    name: str

    @abstractmethod
    def __enter__(self) -> Self:
        """Make it ready."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Leave nothing of it."""

    @abstractmethod
    def site(self, **options: Any) -> Site:
        """This bundle, with files beside it and knobs turned; not yet started."""

    @abstractmethod
    def roots(self, site: Site) -> list[int]:
        """The processes of a site from which all others of it descend."""

    @abstractmethod
    def program(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> Program:
        """Start a server in a folder.

        Raises:
            NotServedError: it is not installed.
        """

    @abstractmethod
    def in_process(self, folder: Path, arguments: Sequence[str]) -> list[str]:
        """The command that calls the app in-process, with the interpreter that this bundle has.

        That is uWSGI's: it may be linked with another build than `python` is.
        """

    @abstractmethod
    def versions(self) -> list[str]:
        """What Python and nginx say of themselves."""


class OnHost(Place):
    """This machine, with the environments that `make serve` and `make bench` have made."""

    name = "on the machine itself"

    def __init__(self, python: Path = PROJECT / ".app" / "current" / "bin" / "python") -> None:
        self._python = python

    def __enter__(self) -> Self:
        """`make bench` has made it ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to leave."""

    def site(self, **options: Any) -> Site:
        """`make serve`, in a copy of the project."""
        return _Bundle(self._python, **options)

    def roots(self, site: Site) -> list[int]:
        """`python -m deploy serve`."""
        return [site.process.pid]

    def program(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> Program:
        """Start it from the environment that these benchmarks run in."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
        found = shutil.which(command[0], path=path)
        if not found:
            raise NotServedError(f"{command[0]} is not installed")
        return _Process([found, *command[1:]], folder, {"PATH": path} | dict(environment))

    def in_process(self, folder: Path, arguments: Sequence[str]) -> list[str]:
        """By the Python that uWSGI is a module of."""
        return [str(self._python), str(_HERE / _IN_PROCESS), str(folder), *arguments]

    def versions(self) -> list[str]:
        """`make serve`'s Python, and the nginx that all use."""
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        return [_said(str(self._python), "--version"), _said(nginx, "-v")]


class InContainers(Place):
    """Containers on this machine, all in its own network, so that no proxy stands before any."""

    name = "in containers"
    _app, _peers = "benchmark-app", "benchmark-peers"

    def __enter__(self) -> Self:
        """Build the image of the bundle's app, and on top of it that of the peers."""
        _docker("build", "--target", "app", "--tag", self._app, str(PROJECT))
        app = ["--build-arg", f"APP_IMAGE={self._app}"]
        dockerfile = ["--file", str(_CONTAINERS / "Dockerfile")]
        dockerfile += ["--build-context", f"project={PROJECT}"]
        if other := os.environ.get("PEER_PYTHON"):
            app += ["--build-arg", f"PEER_PYTHON={other}"]
        _docker("build", *app, *dockerfile, "--tag", self._peers, str(_HERE))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the images; what they were built of stays in the engine's cache."""
        _docker("image", "rm", "--force", self._peers, self._app)

    def site(self, **options: Any) -> Site:
        """`docker compose up`, in a copy of the project."""
        return _ComposedBundle(**options)

    def roots(self, site: Site) -> list[int]:
        """The first process of each container."""
        return [_root(container) for container in site.containers()]

    def program(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> Program:
        """Start a container that has the folder at the same place."""
        given = [f"--env={name}={value}" for name, value in environment.items()]
        return _Container([*given, *_mounted(folder), self._peers, *command])

    def in_process(self, folder: Path, arguments: Sequence[str]) -> list[str]:
        """The same, in a container of the app's image."""
        shutil.copy(_HERE / _IN_PROCESS, folder)
        command = ["python", str(folder / _IN_PROCESS), str(folder), *arguments]
        return ["docker", "run", "--rm", *_mounted(folder), self._app, *command]

    def versions(self) -> list[str]:
        """The app image's Python, and Debian's nginx, which all use."""
        python = _said("docker", "run", "--rm", self._app, "python", "--version")
        return [python, _said("docker", "run", "--rm", self._peers, "nginx", "-v")]


class _Bundle(HostSite):
    """The bundle in its own environment, not in that of the benchmarks."""

    def __init__(self, python: Path, **options: Any) -> None:
        super().__init__(**options)
        self._python = python

    def command(self) -> list[str]:
        """The command that `make serve` runs."""
        return [str(self._python), "-m", "deploy", "serve"]


class _ComposedBundle(ComposeSite):
    """The bundle in containers; the images are built before the clock runs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        overlay = (_CONTAINERS / "host-network.yml").relative_to(PROJECT)
        self.environment["COMPOSE_FILE"] = f"docker-compose.yml:{overlay}"
        self.compose("build")

    def start(self) -> None:
        """Start the containers."""
        self.compose("up", "--detach")


class _Process(Program):
    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._log = folder / f"{Path(command[0]).name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # As the bundle does: the kernel shares the CPUs among sessions first (autogroup).
                start_new_session=True,
            )

    @property
    def root(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        family = usage.tree(self.root)
        self._process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(family, timeout=3)
        for process in left:
            process.kill()
        self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")


class _Container(Program):
    def __init__(self, words: Sequence[str]) -> None:
        # The same log driver as the bundle's own containers have.
        self._id = _docker("run", "--detach", "--log-driver", "local", *words).strip()

    @property
    def root(self) -> int:
        return _root(self._id)

    def stop(self) -> None:
        _docker("rm", "--force", self._id)

    def log(self) -> str:
        return _said("docker", "logs", self._id)


def _mounted(folder: Path) -> list[str]:
    user = f"--user={os.geteuid()}:{os.getegid()}"
    return ["--network=host", user, f"--volume={folder}:{folder}", f"--workdir={folder}"]


def _root(container: str) -> int:
    return int(_docker("inspect", "--format", "{{.State.Pid}}", container))


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout + done.stderr).strip()


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotServedError(f"docker {' '.join(words)}\n{done.stderr}")
    return done.stdout
