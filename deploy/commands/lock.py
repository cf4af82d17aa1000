"""``make lock``: write the lock of the app's requirements."""

import os
import subprocess
from pathlib import Path

from deploy.install import packages, project
from deploy.problems import Refusal
from deploy.settings import environment

_COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--custom-compile-command", "make lock"),
)


def run(directory: Path, options: list[str]) -> int:
    """Lock the project in a directory.

    Args:
        directory: APP_DIR.
        options: of the program that writes the lock.

    Returns:
        Its exit status.

    Raises:
        Refusal: there is nothing to lock.
    """
    found = project.read(directory)
    source = found.source
    name = "poetry" if source.name == "poetry.lock" else "uv"
    words = ["lock"]
    if source.name not in project.LOCKS:
        written = [file for file in [directory / "requirements.in"] if file.is_file()]
        written += [directory / "pyproject.toml"] if found.dependencies else []
        if not written:
            raise Refusal(
                f"{directory / 'requirements.in'} does not exist; write what the app needs into"
                " it, one package a line, and type: make lock"
            )
        words = [*_COMPILE, "--output-file", "requirements.txt", written[0].name]
    program = packages.tool(name, environment.DIRECTORY) / name
    status = subprocess.run([program, *words, *options], cwd=directory, check=False).returncode
    if os.geteuid() == 0:  # in a container: not root's, but the project's owner's
        owner = directory.stat()
        for lock in (directory / name for name in (*project.LOCKS, "requirements.txt")):
            if lock.exists():
                os.chown(lock, owner.st_uid, owner.st_gid)
    return status
