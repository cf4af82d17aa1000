"""A real browser for the tests: Debian's Chromium.

Pictures are kept in the folder that ARTEFACTS names, or in `.run/pictures`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.servers import PROJECT

CHROMIUM = shutil.which("chromium")
PICTURES = Path(os.environ.get("ARTEFACTS", PROJECT / ".run" / "pictures"))

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="install Debian's package chromium")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The browser, with these flags."""
    usual = [
        "--no-sandbox",  # it does not run as root with one, and opens only the tests' sites
        # What it would like to ask its maker's servers.
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*usual, *flags], timeout=180_000
        )
        expect.set_options(timeout=60_000)
        yield browser
        browser.close()


def picture(page: Page, name: str) -> None:
    """Take a picture of the whole page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
