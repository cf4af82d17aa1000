"""A real browser, Debian's Chromium, does what a person does with the debugger's page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium, needs_chromium, picture
from tests.servers import Site, free_port

PIN = "3141-5926-5358-9793-2384-62643"
NAME = "staging.example.com"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as browser:
        yield browser


KNOBS = {
    "UWSGI_DEBUG": "1",
    "WERKZEUG_DEBUG_PIN": PIN,
    "SERVER_NAMES": NAME,
    "WORKERS": 4,
    "THREADS": 4,
}


@pytest.fixture
def staging(kind: str, shared_site: Callable[..., Site]) -> Site:
    return shared_site(kind, **KNOBS)


def look_into_the_last_frame(page: Page, origin: str, name: str) -> None:
    """Do what a person does, from the failed request to the values of its variables."""
    page.goto(f"{origin}/path/boom?visitor=Ada")
    expect(page).to_have_title("ZeroDivisionError: float division by zero // Werkzeug Debugger")

    line = page.locator(".frame").last.locator("pre.current")
    line.hover()
    line.locator("img").click()
    prompt = page.locator(".pin-prompt")
    expect(prompt).to_be_visible()
    picture(page, f"{name}-pin")

    prompt.locator("input[name=pin]").fill("000-000-000")
    refusals: list[str] = []
    page.once("dialog", lambda dialog: (refusals.append(dialog.message), dialog.accept()))
    with page.expect_event("dialog"):
        prompt.locator("input[name=btn]").click()
    assert refusals == ["Error: incorrect pin"]
    prompt.locator("input[name=pin]").fill(PIN)
    prompt.locator("input[name=btn]").click()
    expect(prompt).to_be_hidden()

    console = page.locator(".console").last
    entry = console.locator("input[type=text]")
    for number in range(12):  # four workers: any may get a command, the right one executes it
        entry.fill(f"'result {number}', bill, guests")
        entry.press("Enter")
        expect(console).to_contain_text(f"('result {number}', 2.0, 0)")
    entry.fill("request.args['visitor'], request.headers['Host']")
    entry.press("Enter")
    expect(console).to_contain_text(f"('Ada', '{origin.partition('//')[2]}')")
    picture(page, f"{name}-console")


def test_a_click_on_a_frame_the_pin_and_an_expression_show_its_value(
    browser: Browser, staging: Site, kind: str
) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 820})
    look_into_the_last_frame(page, f"http://{NAME}:{staging.port}", kind)


def test_it_works_over_tls(browser: Browser, serve: Callable[..., Site], tmp_path: Path) -> None:
    pair = trustme.CA().issue_cert(NAME)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for pem in pair.cert_chain_pems:
        pem.write_to_path(certificate, append=True)
    pair.private_key_pem.write_to_path(key)
    port = free_port()
    serve("host", TLS_CERTIFICATE=certificate, TLS_KEY=key, HTTPS_PORT=port, **KNOBS)
    page = browser.new_page(ignore_https_errors=True)  # it does not know who issued this one
    look_into_the_last_frame(page, f"https://{NAME}:{port}", "tls")


def test_under_a_name_that_is_not_listed_there_is_no_page(browser: Browser, staging: Site) -> None:
    response = browser.new_page().goto(f"http://localhost:{staging.port}/path/boom")
    assert response
    assert response.status == 421
