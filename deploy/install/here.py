"""Environments of this machine, below ``.app``: one for each state of the requirements.

A new one is complete before the link ``current`` leads to it, and the one of the running release
stays as it is.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.install import files, packages, project
from deploy.install.project import Project
from deploy.problems import Refusal
from deploy.settings import places
from deploy.settings.environment import CURRENT, DIRECTORY

_BUNDLE = Path(__file__).resolve().parents[2]
# The live one, and that of the previous release.
_KEPT = 3


def install(directory: Path) -> None:
    """Make the environment of the project that the next start uses.

    Args:
        directory: APP_DIR.

    Raises:
        Refusal: it cannot be installed. The previous environment is still there.
    """
    found = project.read(directory)
    prefix = _prefix(found)
    with _only_one():
        if not (prefix / "complete").exists():
            _make(found, prefix)
        os.utime(prefix)
        _switch(prefix)
        for old in sorted(DIRECTORY.glob("env-*"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            shutil.rmtree(old)


def refuse_outdated(directory: Path) -> None:
    """Reject an environment that is older than the requirements.

    Args:
        directory: APP_DIR.

    Raises:
        Refusal: they have changed since `make install`.
    """
    if not CURRENT.exists():
        return  # the environment of this Python: an image, or a test
    found = project.read(directory)
    # Whichever Python runs this.
    if _digest(found) not in CURRENT.resolve().name:
        raise Refusal(f"{found.source} has changed and is not installed; type: make install")


def _make(found: Project, prefix: Path) -> None:
    script = _BUNDLE / "deploy" / "prerequisites.sh"
    if status := subprocess.run(["sh", script, "build"], check=False).returncode:
        raise SystemExit(status)
    source = os.path.relpath(found.source, _BUNDLE)
    print(f"Installing {source} into .app (compiles uWSGI the first time) ...", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", prefix], check=True)
        # The instance folder of an installed app: docs/data.md.
        (prefix / "var").symlink_to(places.instance(found.directory))
        packages.install_uwsgi(prefix, DIRECTORY / "uwsgi")
        packages.install(found, prefix, DIRECTORY)
        packages.install_project(found, prefix)
        (prefix / "complete").touch()
    except BaseException:
        shutil.rmtree(prefix, ignore_errors=True)
        raise


def _switch(prefix: Path) -> None:
    new = DIRECTORY / f"new-{os.getpid()}"
    new.symlink_to(prefix.name)
    new.rename(CURRENT)


def _prefix(found: Project) -> Path:
    python = hashlib.sha256(f"{sys.base_exec_prefix} {sys.version}".encode()).hexdigest()
    return DIRECTORY / f"env-{_digest(found)}-{python[:4]}"


def _digest(found: Project) -> str:
    """A text that changes with the requirements, and with what the bundle adds to them."""
    bundle = _BUNDLE / "deploy"
    ours = [*(bundle / "requirements").glob("b*.txt"), *(bundle / "patches").glob("*.patch")]
    digest = hashlib.sha256()
    for path in (*sorted(ours), *project.inputs(found, editable=False)):
        digest.update(f"\0{path}\0".encode())
        content = files.newest(path).encode() if path.is_dir() else path.read_bytes()
        digest.update(content)
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    DIRECTORY.mkdir(exist_ok=True)
    with (DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
