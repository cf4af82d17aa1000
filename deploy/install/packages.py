"""Packages: uWSGI, the app's requirements as they are, and the project itself."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.install import locks, project
from deploy.install.project import Project
from deploy.problems import Refusal

_BUNDLE = Path(__file__).resolve().parents[2]
_LOCKED = _BUNDLE / "deploy" / "requirements"
# What pip says: the reason, and what to do. %s is the place, with what is there.
_REASONS = (
    (r"Invalid requirement: ['\"]?(?P<what>.+?)['\"]?:? ", "is no requirement", "correct it"),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "does not exist for this Python, or the package index cannot be reached",
        "correct the name or the version",
    ),
    (
        r"DO NOT MATCH THE HASHES[\s\S]*?\n\s*(?P<what>[\w.-]+)",
        "has another hash than the one that is locked",
        "lock again only if you trust the new file",
    ),
    (
        r"Hashes are required in --require-hashes mode[\s\S]*?\n\s+(?P<what>\S+)",
        "has no hash, and others have",
        "write all with hashes, or none",
    ),
    (
        r"In --require-hashes mode, all requirements must have their versions pinned"
        r"[\s\S]*?\n\s+(?P<needs>[\w.-]+)[^\n]*\(from (?P<what>[\w.-]+)[^\n]*->",
        r"needs \g<needs>, which is not in the lock",
        "lock again",
    ),
    (
        r"In --require-hashes mode, all requirements must have their versions pinned"
        r"[\s\S]*?\n\s+(?P<what>\S+)",
        "has no hash, and others have",
        "write all with hashes, or none",
    ),
    (
        r"Cannot install (?:-r \S+ \(line \d+\)(?:, | and ))*(?P<what>[\w.-]+)[\s\S]*conflicting",
        "conflicts with another requirement, as said above",
        "change one of the two",
    ),
    (r"Cannot find command 'git'(?P<what>)", "needs Git", "type: apt-get install git"),
    (
        r"(?:Failed to build|Failed building wheel for) (?:installable wheels for some"
        r" pyproject.toml based projects \()?'?(?P<what>[\w.-]+)",
        "cannot be built, as said above",
        "install what it lacks, or choose a version that has a wheel",
    ),
)


def install(found: Project, prefix: Path, tools: Path) -> None:
    """Install the requirements of a project.

    Args:
        found: the project.
        prefix: the environment, which has uWSGI.
        tools: where to make the environments of other programs.

    Raises:
        Refusal: one of them cannot be installed.
    """
    python = prefix / "bin" / "python"
    locks.refuse_outdated(found, python)
    if found.source == project.SAMPLE and not found.directory.samefile(_BUNDLE):
        _say(f"{found.directory} declares no requirements, so those of the sample are installed.")
    elif not found.locked:
        _say(f"{found.source} has no hashes, so packages are installed as the index has them.")
    with tempfile.TemporaryDirectory() as temporary:
        for arguments in _requirements(found, tools, Path(temporary)):
            if arguments:
                _pip(found, python, "install", *arguments)
    # An app may require another uWSGI, or another Brotli.
    install_uwsgi(prefix, tools / "uwsgi")
    locked = (_LOCKED / "bundle.txt").read_text()
    for module in ("brotli", "prometheus_client"):
        command = [python, "-c", f"import {module}"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            name = project.normalized(module)
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write(re.search(rf"^{name}==(.*\\\n)*.*\n", locked, re.M)[0])
                file.flush()
                options = "--no-deps", "--require-hashes", "--requirement"
                _run(python, "install", *options, file.name)


def _requirements(found: Project, tools: Path, temporary: Path) -> list[list[str | Path]]:
    """The options of each installation."""
    source = found.source
    if source.name in project.LOCKS:
        exported = temporary / "exported.txt"
        locks.export(found, tool(source.name.partition(".")[0], tools), exported)
        options: list[list[str | Path]] = []
        for number, text in enumerate(locks.split(exported)):
            part = temporary / f"{number}.txt"
            part.write_text(text)
            hashes = ["--require-hashes"] if not number else []
            options.append(["--no-deps", *hashes, "--requirement", part] if text.strip() else [])
        return options
    if source.suffix == ".txt":
        return [["--requirement", source]]
    return [found.dependencies or []]


def install_project(found: Project, prefix: Path) -> None:
    """Install the project itself, if it is a package.

    Editable: its modules are imported from its directory, as while it is developed. A wheel would
    lack templates that setuptools was not told of.

    Raises:
        Refusal: it cannot be built.
    """
    if found.is_package:
        # With its dependencies, if they are not locked: its build may be what decides them.
        options = ["--no-deps"] if found.locked else []
        python = prefix / "bin" / "python"
        _pip(found, python, "install", *options, "--editable", found.directory)


def install_uwsgi(prefix: Path, wheels: Path) -> None:
    """Install the bundle's uWSGI.

    Raises:
        Refusal: it cannot be built.
    """
    script = Path(__file__).with_name("uwsgi.py")
    command = [prefix / "bin" / "python", script, _LOCKED / "bundle.txt", _LOCKED / "build.txt"]
    if subprocess.run([*command, wheels], check=False).returncode:
        raise Refusal("uWSGI cannot be installed; the reason is above.")


def tool(name: str, tools: Path) -> Path:
    """The programs of an environment of its own, from the lock of that name."""
    directory = tools / name
    directory.parent.mkdir(exist_ok=True)
    if not (directory / "complete").exists():
        _say(f"Installing {name} into an environment of its own ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        lock = _LOCKED / f"{name}.txt"
        _run(directory / "bin" / "python", "install", "--require-hashes", "--requirement", lock)
        (directory / "complete").touch()
    return directory / "bin"


def _run(python: Path, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "--quiet"]
    if subprocess.run([*command, *arguments[1:]], check=False).returncode:
        raise Refusal(f"pip {arguments[0]} failed; the reason is above.")


def _pip(found: Project, python: Path, *arguments: str | Path) -> None:
    """Run pip in the directory of the project, and explain its errors."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments[:1], "--quiet"]
    done = subprocess.run(
        [*command, *arguments[1:]],
        cwd=found.directory,
        env=os.environ | {"PIP_NO_INPUT": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr, flush=True)
        raise Refusal(explain(done.stderr, found))


def explain(said: str, found: Project) -> str:
    """One sentence for what pip says: the file, the line, and what to do."""
    for pattern, reason, advice in _REASONS:
        if match := re.search(pattern, said):
            return f"{_place(match['what'], found)} {match.expand(reason)}; {advice}."
    errors = re.findall(r"^ *ERROR: (.*)", said, re.M)
    why = errors[-1].rstrip(".") if errors else "the reason is above"
    return f"{found.source} cannot be installed ({why}); correct it."


def _place(what: str, found: Project) -> str:
    """Where a requirement is, with what is there."""
    name = project.normalized(re.match(r"[\w.-]*", what)[0])
    if name and found.source.suffix == ".txt":
        for line in project.lines(found.source):
            if line.name == name or what in line.text:
                return f"{line.file} line {line.number}: {line.text!r}"
    text = found.source.read_text().splitlines()
    for number, line in enumerate(text, 1):
        if name and name in project.normalized(line):
            return f"{found.source} line {number}: {line.strip()!r}"
    return f"{found.source}: {what!r}" if what else f"{found.source}"


def _say(sentence: str) -> None:
    print(sentence, flush=True)
