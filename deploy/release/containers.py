"""The containers of Compose: its merged configuration, and the findings in the app's container.

Standard library only: a host with containers has no other packages.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import KINDS, Finding, NotCheckedError, Refusal
from deploy.release.docker import PROJECT, Compose, DockerError, docker
from deploy.server import tls_files
from deploy.settings import durations, env_file, secret_files

# Paths that differ between the containers by design.
_PLACES = {"TLS_CERTIFICATE", "TLS_KEY", "DEBUG_PASSWORD_FILE"}


def look() -> Iterator[Finding]:
    """Check the containers.

    Raises:
        NotCheckedError: there is no container engine with Compose.
    """
    try:
        docker("version")
        docker("compose", "version")
    except (DockerError, Refusal):
        raise NotCheckedError("there is no container engine") from None
    try:
        compose = Compose()
        yield from look_at(compose)
    except DockerError as problem:
        yield Finding("E100", f"Compose cannot read its files ({problem}); fix what it names.")
        return
    # Without containers this would create networks and volumes; a check changes nothing.
    if compose.containers():
        yield from ask_the_app(compose, load=True)


def exist() -> bool:
    """Whether there are containers of this project."""
    try:
        return bool(Compose().containers())
    except (DockerError, Refusal):
        return False


def look_at(compose: Compose) -> Iterator[Finding]:
    """Check Compose's configuration, and the files of the host that it names."""
    env_file.read(PROJECT / ".env")
    services = compose.configuration["services"]
    variables = {name: services[name]["environment"] for name in ("app", "nginx")}
    for name in sorted(variables["app"].keys() & variables["nginx"].keys() - _PLACES):
        values = [variables[service][name] for service in ("app", "nginx")]
        if values[0] != values[1]:
            yield Finding(
                "E101",
                f"{name} is {values[0]!r} for app and {values[1]!r} for nginx in Compose's files;"
                " set it in .env, which both read.",
            )
    for name, found in variables.items():
        grace = services[name].get("stop_grace_period", "10s")
        if durations.seconds(grace) <= int(found["REQUEST_TIMEOUT"]):
            yield Finding(
                "E102",
                f"stop_grace_period of {name} is {grace} in Compose's files and REQUEST_TIMEOUT is"
                f" {found['REQUEST_TIMEOUT']}, so a stop drops in-flight requests; leave it at"
                " ${REQUEST_TIMEOUT}s10s.",
            )

    secrets = {n: Path(secret["file"]) for n, secret in compose.configuration["secrets"].items()}
    pair = secrets["tls_certificate"], secrets["tls_key"]
    if all(file.is_file() for file in pair):
        with contextlib.suppress(PermissionError):  # readable for the engine, not for this user
            yield from tls_files.look_at(*pair, variables["nginx"]["SERVER_NAMES"].split())
    named = ("SECRET_KEY_FILE", "secret_key"), ("TLS_KEY", "tls_key")
    yield from secret_files.look({knob: secrets[secret] for knob, secret in named})
    yield from secret_files.look_into_env(PROJECT / ".env")


def ask_the_app(compose: Compose, image: str = "", *, load: bool = False) -> Iterator[Finding]:
    """Check the app's image in a container of it, with the current settings.

    Args:
        compose: the project.
        image: the image; by default the one that Compose would start.
        load: whether to load the apps, too; a rollout does so in any case.
    """
    yield from told(said_by_the_app(compose, image, load=load))


def said_by_the_app(compose: Compose, image: str = "", *, load: bool = False) -> list[dict]:
    """What ``starts.print_findings`` prints in such a container, with the same arguments."""
    command = ["python", "-m", "deploy", "findings", *(["--load"] if load else [])]
    try:
        said = compose.run("run", "--rm", "--no-deps", "-T", "app", *command, image=image)
    except DockerError:
        return []  # an older image without this command
    return [json.loads(line) for line in said.splitlines()]


def told(said: list[dict]) -> Iterator[Finding]:
    """The findings in it."""
    for found in said:
        if found.get("id") in KINDS:  # an image of another version may have others
            yield Finding(found["id"], found["message"])


def may_have_a_release_step(compose: Compose, said: list[dict]) -> bool:
    """Whether to run the release step, which may also start what the app depends on."""
    depends = compose.configuration["services"]["app"].get("depends_on")
    return bool(depends) or {"release_step": False} not in said
