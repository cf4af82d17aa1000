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


@pytest.fixture
def page_of_apps() -> str:
    return (PROJECT / "docs" / "apps.md").read_text()


@pytest.fixture
def large_app(
    install: Callable[[str], Path], serve: Serve, page_of_apps: str, tmp_path: Path
) -> Callable[[str, str], Site]:
    """Serve an app with the files and the `.env` that its section of docs/apps.md prints."""

    def served(title: str, package: str) -> Site:
        section = page_of_apps.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        version = re.search(rf"`{package}` ([\d.]+)", section)[1]
        files = dict(re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w*\n(.*?)^```", section, re.M | re.S))
        env_file = files.pop(".env")
        files.pop("Dockerfile", None)
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return serve(
            "host",
            files=[tmp_path / name for name in files],
            env_file=env_file,
            PYTHONPATH=install(f"{package}=={version}"),
            START_TIMEOUT=600,  # on a busy machine
        )

    return served


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
