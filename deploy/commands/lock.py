"""``make lock``: write the lock of the app's requirements."""

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
    source = project.read(directory).source
    name = "poetry" if source.name == "poetry.lock" else "uv"
    words = ["lock"]
    if source.name not in project.LOCKS:
        lock = source if source.suffix == ".txt" else directory / "requirements.txt"
        written = [directory / "requirements.in", lock.with_suffix(".in")]
        written = [file for file in (*written, directory / "pyproject.toml") if file.is_file()]
        if not written or source == project.SAMPLE:
            raise Refusal(
                f"{directory / 'requirements.in'} does not exist; write what the app needs into"
                " it, one package a line, and type: make lock"
            )
        target = written[0].with_name("requirements.txt")
        words = [*_COMPILE, "--output-file", target.name, written[0].name]
        directory = target.parent
    program = packages.tool(name, environment.DIRECTORY) / name
    return subprocess.run([program, *words, *options], cwd=directory, check=False).returncode
