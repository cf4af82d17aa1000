"""Updating: this release is merged into projects that were made from earlier ones.

A shallow clone has no earlier release, so `2026-11-24` and `2026-11-30` have what a project changes
of one: its requirements with their lock, and .dockerignore. The rest is that of this release.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import PROJECT

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if path.name[:2] == "20")
# What this release has in place of the two requirements files at the top.
MOVED = ("yourapplication/requirements.in", "yourapplication/requirements.txt")

Git = Callable[..., str]


def git_in(directory: Path) -> Git:
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_EDITOR": "true"}
    environment = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")}
    environment |= own | dict.fromkeys(names, "tests")

    def git(*words: str, check: bool = True) -> str:
        options = {"cwd": directory, "env": environment, "text": True, "check": check}
        return subprocess.run(["git", *words], capture_output=True, **options).stdout

    return git


def files_of_this_release() -> list[str]:
    listed = git_in(PROJECT)("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.rstrip("\0").split("\0") if (PROJECT / name).is_file()]


def fill(directory: Path, names: list[str]) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, directory / name)


@pytest.fixture(params=RELEASES)
def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The bundle's repository: an earlier release as its branch `earlier`, this one as `main`."""
    directory = tmp_path / "upstream"
    directory.mkdir()
    git = git_in(directory)
    git("init", "--quiet", "--initial-branch", "main")
    fill(directory, [name for name in files_of_this_release() if name not in MOVED])
    earlier = HERE / request.param
    shutil.copy(earlier / "dockerignore", directory / ".dockerignore")
    shutil.copy(earlier / "requirements.in", directory)
    shutil.copy(HERE / "requirements.txt", directory)
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "An earlier release")
    git("branch", "earlier")
    for name in ("requirements.in", "requirements.txt"):
        (directory / name).unlink()
    fill(directory, files_of_this_release())
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "This release")
    return directory


def add_an_app(directory: Path) -> None:
    """What README.md says: a package, its requirements with their lock, and perhaps other files."""
    (directory / "shop").mkdir()
    (directory / "shop" / "__init__.py").write_text("app = None\n")
    with (directory / "requirements.in").open("a") as file:
        file.write("Flask-Login>=0.6\n")
    lock = (directory / "requirements.txt").read_text()
    own = "flask-login==0.6.3 \\\n    --hash=sha256:00\n    # via -r requirements.in\n"
    (directory / "requirements.txt").write_text(lock.replace("flask-wtf==", f"{own}flask-wtf=="))
    with (directory / ".dockerignore").open("a") as file:
        file.write("!shop/models/*.bin\n")


def commands() -> list[list[str]]:
    """What CHANGELOG.md says to type."""
    text = (PROJECT / "CHANGELOG.md").read_text()
    block = re.search(r"\n( +git pull .*\n(?: +git .*\n)+)", text)[1]
    return [line.partition(" #")[0].split()[1:] for line in block.splitlines()]


def test_a_clone_with_an_app_in_it_is_updated_by_what_the_changelog_says(
    upstream: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git_in(tmp_path)("clone", "--quiet", "--branch", "earlier", str(upstream), str(clone))
    git = git_in(clone)
    add_an_app(clone)
    git("add", "--all")
    git("commit", "--quiet", "--message", "My shop")
    before = {name: (clone / name).read_bytes() for name in ("requirements.in", "requirements.txt")}
    git("branch", "--set-upstream-to", "origin/main")
    for command in commands():
        git(*command, check=command[0] != "pull")  # which stops at conflicts
    assert git("status", "--porcelain") == ""
    assert {name: (clone / name).read_bytes() for name in before} == before
    assert (clone / "shop" / "__init__.py").exists()
    # All else is this release's.
    assert git("diff", "--name-only", "origin/main").split() == sorted(
        [*before, "shop/__init__.py"]
    )


def test_a_subtree_is_updated_without_a_conflict(upstream: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "shop").mkdir(parents=True)
    (project / "shop" / "__init__.py").write_text("app = None\n")
    (project / "requirements.txt").write_text("Flask-Login\n")
    git = git_in(project)
    git("init", "--quiet", "--initial-branch", "main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "My shop")
    git("subtree", "add", "--prefix", "bundle", str(upstream), "earlier")
    (project / "bundle" / ".env").write_text("APP_DIR=..\n")
    git("subtree", "pull", "--prefix", "bundle", str(upstream), "main")
    assert git("status", "--porcelain") == ""
    names = set(git("ls-files").split("\n")) - {""}
    of_release = {f"bundle/{name}" for name in git_in(upstream)("ls-files").split("\n") if name}
    assert names == of_release | {"shop/__init__.py", "requirements.txt"}
    assert (project / "requirements.txt").read_text() == "Flask-Login\n"
