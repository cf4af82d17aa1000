"""Debian packages of the app: APT_PACKAGES and APT_BUILD_PACKAGES on this machine."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator

from deploy.problems import Finding
from deploy.settings.knobs import Knobs


def look(knobs: Knobs) -> Iterator[Finding]:
    """Whether APT_PACKAGES are installed; images have them from their build."""
    if lacking := missing(knobs.environment["APT_PACKAGES"].split()):
        yield Finding(
            "E110",
            f"APT_PACKAGES has {' '.join(lacking)}, which this machine lacks; as root, type:"
            f" apt-get update && apt-get install {' '.join(lacking)}",
        )


def missing(packages: Iterable[str]) -> list[str]:
    """Which of them are not installed; none where there is no dpkg to ask."""
    return [package for package in packages if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    if not (program := shutil.which("dpkg-query")):
        return True
    done = subprocess.run(
        [program, "--show", "--showformat=${db:Status-Status}", package.partition("=")[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.startswith("installed")
