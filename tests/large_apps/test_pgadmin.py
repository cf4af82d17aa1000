"""pgAdmin 4, in a real browser: login, a query to a PostgreSQL server, and its result as CSV."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Site

pytestmark = pytest.mark.slow

PASSWORD = "Ada's password"
QUERY = "SELECT n, n * n AS square FROM generate_series(1, 3) AS n"
RESULT = b'"n","square"\r\n1,1\r\n2,4\r\n3,9\r\n'


@pytest.fixture
def site(large_app: Callable[[str, str], Site]) -> Site:
    return large_app("pgAdmin 4", "pgadmin4")


@pytest.fixture
def postgresql() -> Iterator[Path]:
    """The directory of a PostgreSQL server's unix socket; its user is `ada`."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("install Debian's package postgresql")
    # It does not run as root. Debian's package makes a user for it.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []}
    as_user = user if os.geteuid() == 0 else {}
    # Not in tmp_path, which is closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="postgresql"))

    def pg_ctl(*words: str | Path) -> None:
        options = ["--pgdata", directory / "data", "--timeout", "240", "--silent"]
        command = [programs[-1].with_name("pg_ctl"), *options, *words]
        subprocess.run(command, cwd=directory, check=True, **as_user)

    try:
        password = directory / "password"
        password.write_text(PASSWORD)
        for path in (directory, password) if as_user else ():
            shutil.chown(path, "postgres", "postgres")
        cluster = f"--username=ada --pwfile={password} --auth=scram-sha-256 --encoding=UTF8"
        pg_ctl("initdb", "--options", f"{cluster} --locale=C --no-sync")
        # No TCP port.
        server = f"-F -c listen_addresses= -c unix_socket_directories={directory}"
        pg_ctl("start", "--log", directory / "log", "--options", server)
        yield directory
        pg_ctl("stop", "--mode", "immediate")
    finally:
        shutil.rmtree(directory)


def test_login_a_query_and_its_result_as_csv(site: Site, page: Page, postgresql: Path) -> None:
    failed: list[str] = []
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status > 399 else None)
    page.goto(f"{site.url}/pgadmin/")
    page.locator("input[name=email]").fill("ada@example.com")
    page.locator("input[name=password]").fill("change me soon")
    page.get_by_role("button", name="Login").click()
    expect(page).to_have_url(f"{site.url}/pgadmin/browser/")

    page.get_by_text("Add New Server").click()
    expect(page.get_by_text("Register - Server")).to_be_visible()
    page.locator("input[name=name]:visible").fill("Numbers")
    page.get_by_role("tab", name="Connection", exact=True).click()
    page.locator("input[name=host]:visible").fill(str(postgresql))
    page.locator("input[name=username]:visible").fill("ada")
    page.locator("input[name=password]:visible").fill(PASSWORD)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Numbers", exact=True).first.dblclick()
    page.get_by_text(re.compile(r"^Databases")).dblclick()
    page.get_by_text("postgres", exact=True).first.click()
    expect(page.get_by_text(re.compile(r"^Schemas"))).to_be_visible()
    page.get_by_role("button", name="Tools").click()
    page.get_by_role("menuitem").filter(has_text="Query Tool").click()

    tool = page.frame_locator("iframe")
    tool.locator(".cm-content:visible").first.fill(QUERY)
    tool.get_by_role("button", name="Execute script").click()
    expect(tool.get_by_role("gridcell", name="9", exact=True)).to_be_visible()
    with page.expect_download() as download:
        tool.get_by_role("button", name="Save results to file").click()
    assert Path(download.value.path()).read_bytes() == RESULT
    assert not failed
    assert {cookie["path"] for cookie in page.context.cookies()} <= {"/pgadmin/", "/pgadmin"}
