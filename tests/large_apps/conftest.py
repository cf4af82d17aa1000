"""Large apps of other people, with the settings that docs/apps.md prints."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.servers import PROJECT, Serve, Site

SECONDS = 60  # that a page of a large app may take on a busy machine
CHROMIUM = shutil.which("chromium")
UV = Path(sys.executable).with_name("uv")
IN_CONTAINERS = ("dash", "calibreweb")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where these packages are installed, outside the bundle's own environment."""
    directory = tmp_path_factory.mktemp("packages")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def install(packages: Path) -> Callable[[str], Path]:
    """Install a package with all that it needs; skip the test if that cannot be done here."""
    last_lines: dict[str, str] = {}

    def installed(requirement: str) -> Path:
        target = packages / requirement
        if requirement not in last_lines:
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
            options = ["--quiet", "--no-compile", "--target", target]
            done = subprocess.run(
                [*command, *options, requirement], capture_output=True, text=True, check=False
            )
            last_lines[requirement] = done.returncode and done.stderr.strip().rpartition("\n")[2]
        if last_lines[requirement]:
            pytest.skip(f"pip cannot install {requirement}: {last_lines[requirement]}")
        return target

    return installed


@pytest.fixture(scope="session")
def page_of_apps() -> str:
    return (PROJECT / "docs" / "apps.md").read_text()


@pytest.fixture(scope="session")
def lock(page_of_apps: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lock with all that `IN_CONTAINERS` names, so that one build serves them all."""
    directory = tmp_path_factory.mktemp("lock")
    for name in ("requirements.in", "requirements.txt"):
        shutil.copy(PROJECT / name, directory)
    with (directory / "requirements.in").open("a") as requirements:
        requirements.writelines(f"{_requirement(page_of_apps, p)}\n" for p in IN_CONTAINERS)
    options = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    done = subprocess.run(
        [UV, "pip", "compile", *options, "--output-file", "requirements.txt", "requirements.in"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"uv cannot lock {IN_CONTAINERS}: {done.stderr.strip()}")
    return directory / "requirements.txt"


@pytest.fixture
def large_app(
    request: pytest.FixtureRequest, serve: Serve, page_of_apps: str, tmp_path: Path
) -> Callable[..., Site]:
    """Serve an app with the files and the `.env` that its section of docs/apps.md prints."""

    def served(title: str, package: str, kind: str = "host") -> Site:
        section = page_of_apps.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        files = dict(re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w*\n(.*?)^```", section, re.M | re.S))
        env_file, stage = files.pop(".env"), "FROM python AS app\n"
        recipe = (PROJECT / "Dockerfile").read_text()
        files["Dockerfile"] = recipe.replace(stage, stage + files.get("Dockerfile", ""))
        beside = [tmp_path / name for name in files]
        for file in beside:
            file.write_text(files[file.name])
        # Large apps take long on a busy machine.
        knobs = {"START_TIMEOUT": 600}
        if kind == "host":
            install = request.getfixturevalue("install")
            knobs["PYTHONPATH"] = install(_requirement(page_of_apps, package))
        else:
            beside.append(request.getfixturevalue("lock"))
        return serve(kind, files=beside, env_file=env_file, **knobs)

    return served


def _requirement(page_of_apps: str, package: str) -> str:
    return f"{package}=={re.search(rf'`{package}` ([0-9.]+)', page_of_apps)[1]}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("install Debian's package chromium")
    # No sandbox: as root it does not start with one, and it sees nothing but these sites.
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=180_000)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(accept_downloads=True) as context:
        context.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        yield context.new_page()
