"""Locks: read by the program that wrote them, and compared with what they lock."""

import json
import os
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

from deploy.install import project
from deploy.install.project import Project
from deploy.problems import Refusal

# What writes each lock.
_WRITTEN_BY = {"uv.lock": "uv lock", "poetry.lock": "poetry lock", "requirements.txt": "make lock"}
_EXPORTS = {
    "uv.lock": (
        *("uv", "export", "--frozen", "--no-default-groups", "--no-emit-project", "--quiet"),
        *("--format", "requirements.txt", "--output-file"),
    ),
    "poetry.lock": (
        *("poetry", "export", "--no-interaction", "--only", "main"),
        *("--format", "requirements.txt", "--output"),
    ),
}


def refuse_outdated(found: Project, python: Path) -> None:
    """Reject a requirement that is newer than its lock.

    Args:
        found: the project.
        python: one that has pip.

    Raises:
        Refusal: the lock does not have it.
    """
    source, declared = found.source, []
    written = found.directory / "requirements.in"
    if source.name not in _EXPORTS and written.exists():
        if source != found.directory / "requirements.txt":
            raise Refusal(f"{written} has no requirements.txt beside it; type: make lock")
        declared = [
            (f"{line.file} line {line.number}", line.text)
            for line in project.lines(written)
            if line.name
        ]
    elif found.locked and found.dependencies:
        file = str(found.directory / "pyproject.toml")
        declared = [(file, text) for text in found.dependencies]
    if not declared:
        return
    given = json.dumps({"declared": declared, "locked": _versions(source)})
    script = Path(__file__).with_name("outdated.py")
    done = subprocess.run([python, script], input=given, capture_output=True, text=True, check=True)
    if problem := done.stdout.strip():
        command = _WRITTEN_BY.get(source.name, "make lock")
        raise Refusal(f"{problem} {source}; type: {command}")


def _versions(source: Path) -> dict[str, list[str]]:
    """The versions of each package in a lock."""
    found = defaultdict(list)
    if source.name in _EXPORTS:
        for package in tomllib.loads(source.read_text()).get("package", ()):
            found[project.normalized(package["name"])].append(package.get("version", ""))
    else:
        for line in project.lines(source):
            if line.name:
                version = re.search(r"===?\s*([^\s;,]+)", line.text)
                found[line.name].append(version[1] if version else "")
    return found


def export(found: Project, programs: Path, target: Path) -> None:
    """Write a lock as a requirements file.

    Args:
        found: the project.
        programs: the directory of the program that reads it.
        target: the file to write.

    Raises:
        Refusal: the program cannot read it.
    """
    name, *options = _EXPORTS[found.source.name]
    done = subprocess.run(
        [programs / name, *options, target],
        cwd=found.directory,
        env=os.environ | {"UV_PYTHON_DOWNLOADS": "never", "POETRY_WARNINGS_EXPORT": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise Refusal(
            f"{found.source} cannot be read ({said}); type: {_WRITTEN_BY[found.source.name]}"
        )


def split(requirements: Path) -> tuple[str, str]:
    """The requirements with hashes, and those that cannot have any: Git's, and directories."""
    hashed, others, block = "", "", ""
    for line in requirements.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        block += f"{line}\n"
        if not line.endswith("\\"):
            if "--hash=" in block:
                hashed += block
            else:
                others += block
            block = ""
    return hashed, others
