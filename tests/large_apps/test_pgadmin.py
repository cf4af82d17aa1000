"""pgAdmin 4, in a real browser: login, and the page with its tree of servers."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.servers import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(large_app: Callable[[str, str], Site]) -> Site:
    return large_app("pgAdmin 4", "pgadmin4")


def test_login_the_tree_and_a_dialog(site: Site, page: Page) -> None:
    failed: list[str] = []
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status > 399 else None)
    page.goto(f"{site.url}/pgadmin/")
    page.locator("input[name=email]").fill("ada@example.com")
    page.locator("input[name=password]").fill("change me soon")
    page.get_by_role("button", name="Login").click()
    expect(page).to_have_url(f"{site.url}/pgadmin/browser/")
    expect(page.get_by_text("Servers", exact=True).first).to_be_visible()
    page.get_by_text("Add New Server").click()
    expect(page.get_by_text("Register - Server")).to_be_visible()
    assert not failed
    assert {cookie["path"] for cookie in page.context.cookies()} <= {"/pgadmin/", "/pgadmin"}
