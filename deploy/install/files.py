"""Copies of a project, without the files that stay out of an image."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from deploy.install import project
from deploy.settings import dockerignore

BUNDLE = Path(__file__).resolve().parents[2]


def copy(source: Path, target: Path) -> None:
    """Copy a project, readable by any user, whatever its umask.

    Args:
        source: its directory.
        target: the directory to make.
    """
    for path in _kept(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place, follow_symlinks=False)
        if not path.is_symlink():
            place.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    target.mkdir(parents=True, exist_ok=True)


def copy_requirements(found: project.Project, target: Path) -> None:
    """Copy what decides which packages are installed, at the same places.

    The layer of the image with the packages depends on nothing else.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in project.inputs(found):
        if not path.is_relative_to(found.directory):
            continue  # the sample's, or one that no image has
        place = target / path.relative_to(found.directory)
        if path.is_dir():
            copy(path, place)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def newest(source: Path) -> str:
    """A text that changes with any of the files."""
    found = ((path, path.lstat()) for path in _kept(source))
    return repr(sorted((str(path), s.st_size, s.st_mtime_ns) for path, s in found))


def _kept(source: Path) -> Iterator[Path]:
    """The files of a project, without secrets, data, what tools make, and this bundle.

    Those are what .dockerignore excludes in any directory, with a pattern that begins with `**/`.
    """
    patterns = dockerignore.read(BUNDLE / ".dockerignore")
    patterns = [pattern for pattern in patterns if pattern.lstrip("!").startswith("**/")]
    for name, directories, files in os.walk(source):
        directory = Path(name)
        within = directory.relative_to(source)
        if (directory / "deploy" / "defaults.env").is_file():
            if within.parts:
                directories.clear()
                continue
            # The project is in a clone of the bundle.
            ours = {path.name for path in BUNDLE.iterdir()} - {project.SAMPLE.parent.name}
            files = [file for file in files if file not in ours]
            directories[:] = [other for other in directories if other not in ours]
        directories[:] = [
            other
            for other in directories
            if not (directory / other / "pyvenv.cfg").exists()
            and (
                other == ".well-known" or dockerignore.gets_in(str(within / other / "x"), patterns)
            )
        ]
        for file in (*files, *(d for d in directories if (directory / d).is_symlink())):
            if dockerignore.gets_in(str(within / file), patterns):
                yield directory / file
