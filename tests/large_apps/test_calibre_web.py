"""Calibre-Web, in a real browser: login, an upload, and the download of the same book."""

import ctypes
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Site

pytestmark = pytest.mark.slow

# Calibre-Web opens libraries that Calibre has made. This makes one with the tables that it knows.
EMPTY_LIBRARY = """
import os, sys
directory = os.environ["CALIBRE_DBPATH"] = os.environ["HOME"] = sys.argv[1]
os.mkdir(directory)
import calibreweb
from cps import db
from sqlalchemy import Float, create_engine, text

db.Books.__table__.c.series_index.type = Float()  # as Calibre has it
with create_engine("sqlite://").connect() as connection:
    connection.execute(text(f"ATTACH DATABASE '{directory}/metadata.db' AS calibre"))
    tables = connection.execution_options(schema_translate_map={None: "calibre"})
    db.Base.metadata.create_all(tables)
    connection.execute(text("INSERT INTO calibre.library_id (uuid) VALUES ('a-library')"))
    connection.commit()
"""


def make_library(site: Site) -> str:
    """Make an empty library in DATA_DIR."""
    directory = f"{site.folder}/instance/books"
    command = [sys.executable, "-c", EMPTY_LIBRARY, directory]
    subprocess.run(command, env=site.environment, check=True)
    return directory


def make_book(file: Path) -> None:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="book.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="2.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Notes</dc:title><dc:creator>Ada Lovelace</dc:creator>"
        "<dc:language>en</dc:language></metadata><manifest/><spine/></package>"
    )
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", container)
        book.writestr("book.opf", package)


@pytest.fixture
def site(large_app: Callable[[str, str], Site]) -> Site:
    try:
        ctypes.CDLL("libmagic.so.1")
    except OSError:
        pytest.skip("install Debian's package libmagic1")
    return large_app("Calibre-Web", "calibreweb")


def test_login_upload_and_download(site: Site, page: Page, tmp_path: Path) -> None:
    library = make_library(site)
    make_book(tmp_path / "notes.epub")

    page.goto(f"{site.url}/library/login")
    page.locator("#username").fill("admin")
    page.locator("#password").fill("admin123")
    page.get_by_role("button", name="Login").click()
    page.locator("#config_calibre_dir").fill(library)
    page.locator("#db_submit").click()
    expect(page.get_by_text("Database Settings updated")).to_be_visible()

    page.goto(f"{site.url}/library/admin/config")
    page.get_by_text("Feature Configuration").click()
    page.get_by_label("Enable Uploads").check()
    page.locator("#config_submit").click()
    expect(page.get_by_text("Calibre-Web configuration updated")).to_be_visible()

    page.goto(f"{site.url}/library/")
    page.locator("#btn-upload").set_input_files(tmp_path / "notes.epub")
    expect(page.locator("#title")).to_have_value("Notes")  # the form to edit the new book

    page.goto(f"{site.url}/library/book/1")
    expect(page.get_by_role("heading", name="Notes")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#btnGroupDrop1epub, #btnGroupDrop1").first.click()
    downloaded = Path(download.value.path()).read_bytes()
    assert downloaded == (tmp_path / "notes.epub").read_bytes()
