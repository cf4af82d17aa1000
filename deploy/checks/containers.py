"""The containers of Compose: its files put together, and what the app's own image says.

Nothing here needs more than Python, as whoever operates containers has no more.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from deploy import env_file
from deploy.checks import certificate, secret_files, times
from deploy.checks.finding import Finding, UnseenError, error
from deploy.docker import PROJECT, Compose, DockerError, docker
from deploy.refusal import Refusal

# To the app these are names alone. nginx finds the files in another place.
_PLACES = {"TLS_CERTIFICATE", "TLS_KEY", "DEBUG_PASSWORD_FILE"}


def look() -> Iterator[Finding]:
    """What is wrong or unwise about the containers.

    Raises:
        UnseenError: there is no engine with Compose on this machine.
    """
    try:
        docker("version")
        docker("compose", "version")
    except (DockerError, Refusal):
        raise UnseenError("no engine answers here") from None
    try:
        compose = Compose()
        yield from look_at(compose)
    except DockerError as problem:
        yield error(f"Compose cannot read its files ({problem}); mend what it names.")
        return
    # Without containers this would have to make networks and volumes, and that is not looking.
    if compose.containers():
        yield from ask_the_app(compose, load=True)


def exist() -> bool:
    """Whether there are containers of this project."""
    try:
        return bool(Compose().containers())
    except (DockerError, Refusal):
        return False


def look_at(compose: Compose) -> Iterator[Finding]:
    """What Compose's files say, and the files of this machine that they name."""
    env_file.read(PROJECT / ".env")
    services = compose.configuration["services"]
    variables = {name: services[name]["environment"] for name in ("app", "nginx")}
    for name in sorted(variables["app"].keys() & variables["nginx"].keys() - _PLACES):
        values = [variables[service][name] for service in ("app", "nginx")]
        if values[0] != values[1]:
            yield error(
                f"{name} is {values[0]!r} for app and {values[1]!r} for nginx in Compose's files;"
                " set it in .env, where both take it from."
            )
    for name, found in variables.items():
        grace = services[name].get("stop_grace_period", "10s")
        if times.seconds(grace) <= int(found["REQUEST_TIMEOUT"]):
            yield error(
                f"stop_grace_period of {name} is {grace} in Compose's files and REQUEST_TIMEOUT is"
                f" {found['REQUEST_TIMEOUT']}, so a stop breaks off requests that may still run;"
                " leave it at ${REQUEST_TIMEOUT}s10s."
            )

    secrets = {n: Path(secret["file"]) for n, secret in compose.configuration["secrets"].items()}
    pair = secrets["tls_certificate"], secrets["tls_key"]
    if all(file.is_file() for file in pair):
        with contextlib.suppress(PermissionError):  # Docker's to read, and not this user's
            yield from certificate.look(*pair, variables["nginx"]["SERVER_NAMES"].split())
    named = ("SECRET_KEY_FILE", "secret_key"), ("TLS_KEY", "tls_key")
    yield from secret_files.look({knob: secrets[secret] for knob, secret in named})
    yield from secret_files.look_into_env(PROJECT / ".env")


def ask_the_app(compose: Compose, image: str = "", *, load: bool = False) -> Iterator[Finding]:
    """What the app's image says in its container, with the settings as they are now.

    Args:
        compose: whose app.
        image: which image; by default the one that Compose would start.
        load: whether to load the apps, too; a rollout does so in any case.
    """
    command = ["python", "-m", "deploy", "findings", *(["--load"] if load else [])]
    try:
        said = compose.run("run", "--rm", "--no-deps", "-T", "app", *command, image=image)
    except DockerError:
        return  # an image from before there was such a command
    for line in said.splitlines():
        yield Finding(**json.loads(line))
