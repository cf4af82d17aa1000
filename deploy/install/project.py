"""The project in APP_DIR: where its requirements are, and whether it is a package."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.problems import Refusal

# The sample's, for a project without requirements: they have Flask.
SAMPLE = Path(__file__).resolve().parents[2] / "yourapplication" / "requirements.txt"
# Lock files that are read by the program that wrote them.
LOCKS = ("uv.lock", "poetry.lock")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)[ =]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Line:
    """A line of a requirements file, without its comment, hashes and continuations."""

    file: Path
    number: int
    text: str

    @property
    def name(self) -> str:
        """The normalized name of the package; empty for options, URLs and paths."""
        found = _NAME.match(self.text)
        return normalized(found[0]) if found and self.path is None else ""

    @property
    def editable(self) -> bool:
        """Whether it is imported from its directory."""
        return bool(_EDITABLE.match(self.text))

    @property
    def path(self) -> Path | None:
        """The file or directory on this machine that it names."""
        text = _EDITABLE.sub("", self.text)
        text = re.split(r"[\[;]|\s", text, maxsplit=1)[0]
        local = text.startswith(".") or "/" in text or text.endswith((".whl", ".tar.gz", ".zip"))
        if not local or text.startswith("-") or ":" in text or "@" in self.text:
            return None
        return self.file.parent / text


@dataclass(frozen=True)
class Project:
    """A project.

    Args:
        directory: APP_DIR.
        pyproject: the contents of its pyproject.toml.
        source: the file that lists its requirements: a lock, requirements.txt, or pyproject.toml
            or setup.py for one that has no others.
        is_package: whether the project itself is installed.
    """

    directory: Path
    pyproject: dict[str, Any]
    source: Path
    is_package: bool

    @property
    def locked(self) -> bool:
        """Whether the hashes of all requirements are known."""
        if self.source.name in LOCKS:
            return True
        return self.source.suffix == ".txt" and "--hash=" in self.source.read_text()

    @property
    def dependencies(self) -> list[str] | None:
        """Those in pyproject.toml; None if it has none, or a build decides them."""
        return self.pyproject.get("project", {}).get("dependencies")


def read(directory: Path) -> Project:
    """Find out what a project declares.

    Raises:
        Refusal: it declares nothing that can be installed.
    """
    file = directory / "pyproject.toml"
    try:
        pyproject = tomllib.loads(file.read_text()) if file.exists() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refusal(f"{file} cannot be read ({error}); fix that line.") from None
    _reject_name_of_the_bundle(directory)
    legacy = [directory / name for name in ("setup.py", "setup.cfg")]
    declares = "project" in pyproject or "build-system" in pyproject or legacy[0].exists()
    files = [*map(directory.joinpath, LOCKS), directory / "requirements.txt"]
    source = next(filter(Path.is_file, files), None)
    if not source and declares:
        source = file if file.exists() else legacy[0]
    elif not source and (directory / "Pipfile").exists():
        raise Refusal(
            f"{directory / 'Pipfile'} is not supported; type: pipenv requirements --hash"
            " >requirements.txt"
        )
    tools = pyproject.get("tool", {})
    is_package = "build-system" in pyproject or legacy[0].exists()
    is_package |= bool(source) and source.name in {"pyproject.toml", "setup.py"}
    is_package = tools.get("uv", {}).get("package", is_package)
    is_package &= tools.get("poetry", {}).get("package-mode", True)
    return Project(directory, pyproject, source or SAMPLE, is_package)


def _reject_name_of_the_bundle(directory: Path) -> None:
    for file in (directory / "deploy.py", directory / "deploy" / "__init__.py"):
        if file.is_file() and not _is_bundle(directory):
            raise Refusal(
                f"{file} has the name of the bundle's own package, so Python would import the wrong"
                " one of the two; give it another name."
            )


def _is_bundle(directory: Path) -> bool:
    return (directory / "deploy" / "defaults.env").is_file()


def lines(file: Path, seen: set[Path] | None = None) -> Iterator[Line]:
    """The lines of a requirements file, and of those that it includes.

    Raises:
        Refusal: one of the files cannot be read.
    """
    seen = set() if seen is None else seen
    seen.add(file)
    number, joined = 0, ""
    for count, raw in enumerate(_text(file).splitlines(), 1):
        number = number or count
        joined += re.sub(r"(^|\s)#.*", "", raw).rstrip("\\")
        if raw.endswith("\\"):
            continue
        text = re.split(r"\s--hash", joined.strip())[0].strip()
        if include := _INCLUDE.match(text):
            other = file.parent / include[1]
            if not other.is_file() and "://" not in include[1]:
                raise Refusal(f"{file} line {number}: {include[1]!r} does not exist; correct it.")
            if other.is_file() and other not in seen:
                yield from lines(other, seen)
        elif text:
            yield Line(file, number, text)
        number, joined = 0, ""


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{file} cannot be read ({error}); make it a text file in UTF-8.") from None
    if conflict := re.search(r"^<<<<<<< ", text, re.M):
        number = text.count("\n", 0, conflict.start()) + 1
        raise Refusal(f"{file} line {number}: a merge conflict; resolve it, and lock again.")
    return text


def inputs(project: Project, *, editable: bool = True) -> list[Path]:
    """The files and directories that decide which packages are installed beside the project.

    Args:
        project: the project.
        editable: whether directories count that are imported as they are.
    """
    if project.source.name in LOCKS and _has_paths(project.source):
        return [project.directory]
    found = [project.source, project.directory / "requirements.in"]
    directories = [project.directory]
    if project.source.suffix == ".txt":
        seen: set[Path] = set()
        for line in lines(project.source, seen):
            if line.path:
                (directories if line.editable and not editable else found).append(line.path)
        found += [*seen, *(file.with_suffix(".in") for file in seen)]
    # Dependencies, also those that a lock has to agree with.
    for directory in directories:
        found += [directory / name for name in ("pyproject.toml", "setup.py", "setup.cfg")]
    return sorted({path.absolute() for path in found if path.exists()})


def _has_paths(lock: Path) -> bool:
    """Whether it locks packages in directories, other than the project itself."""
    text = _text(lock)
    uv = r'source = \{ (?:editable|directory|path|virtual) = "(?!\.")'
    return bool(re.search(rf'{uv}|^type = "(?:directory|file)"', text, re.M))


def normalized(name: str) -> str:
    """The name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
