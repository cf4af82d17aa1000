"""The status page, in a real browser."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser import chromium, needs_chromium, picture
from tests.metrics.conftest import Measured
from tests.servers import until


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, measured: Measured) -> Iterator[Page]:
    """A page that neither complains nor requests anything from elsewhere."""
    page = browser.new_page()
    complaints: list[str] = []

    def look(url: str) -> None:
        if not url.startswith((measured.url, "data:")):
            complaints.append(url)

    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: look(request.url))
    yield page
    assert complaints == []
    page.close()


@pytest.fixture
def still(page: Page, measured: Measured) -> Page:
    """The status page as it is now: it does not renew itself."""

    def show(route: Route) -> None:
        response = route.fetch()
        text = response.text()
        assert text.count("refresh") == 1
        route.fulfill(response=response, body=text.replace("refresh", "x"))

    page.route(f"{measured.url}/", show)
    return page


@needs_chromium
def test_the_page_shows_what_the_site_does_and_renews_itself(
    measured: Measured, page: Page
) -> None:
    page.goto(measured.url)
    expect(page).to_have_title("app-1 is live")
    with measured.in_flight("?token=secret") as path:
        # Without a reload by the test.
        expect(page.locator(".table", has_text="In flight")).to_contain_text(f"GET {path}")
        expect(page.locator(".tiles")).to_contain_text("1 of 8")
        expect(page.locator("body")).not_to_contain_text("secret")
    expect(page.locator(".table", has_text="Mounts")).to_contain_text("/path/second")
    expect(page.locator(".table", has_text="Processes")).to_contain_text("sleeper.1")
    expect(page.locator("svg")).to_have_count(4)
    # Two samples make a line.
    expect(page.locator("polyline").first).to_be_attached()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_in_light_and_dark_and_fits_a_phone(
    measured: Measured, still: Page, scheme: str
) -> None:
    page = still
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1100, "height": 900})
    page.goto(measured.url)
    picture(page, f"status-page-{scheme}")
    text, background = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert abs(lightness(text) - lightness(background)) > 180
    assert (lightness(background) < 100) == (scheme == "dark")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def lightness(colour: str) -> float:
    """The mean of `rgb(1, 2, 3)`."""
    parts = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    return sum(parts) / 3


@needs_chromium
def test_an_error_is_shown_with_its_id_and_without_its_markup(
    measured: Measured, still: Page
) -> None:
    name = "<img src=x onerror=alert(1)><b>bold&amp;"
    response = measured.site.ask(f"/path/second/fail/{name.replace(' ', '%20')}?token=secret")
    assert response.status == 500
    id = response.headers["X-Request-ID"]
    until(lambda: id in httpx.get(measured.url, trust_env=False, timeout=60).text, "the error")
    still.goto(measured.url)
    errors = still.locator(".table", has_text="Last errors")
    expect(errors).to_contain_text(id)
    expect(errors).to_contain_text(f"GET /path/second/fail/{name}")
    assert still.locator(".table img, .table b").count() == 0
    assert "secret" not in still.content()


def test_the_page_allows_no_script_and_no_frame(measured: Measured) -> None:
    response = httpx.get(measured.url, trust_env=False, timeout=60)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert "<script" not in response.text


@pytest.mark.parametrize("path", ["/", "/status.json"])
@pytest.mark.parametrize("host", ["attacker.example.com", "attacker.example.com:9117", "a b", "["])
def test_the_page_is_not_shown_under_the_name_of_another_site(
    measured: Measured, path: str, host: str
) -> None:
    response = httpx.get(
        f"{measured.url}{path}", headers={"Host": host}, trust_env=False, timeout=60
    )
    assert response.status_code == 421
    assert "workers" not in response.text


@pytest.mark.parametrize("host", ["localhost", "localhost:9117", "10.0.0.1:9117", "[::1]:9117"])
def test_the_page_is_shown_under_addresses(measured: Measured, host: str) -> None:
    response = httpx.get(measured.url, headers={"Host": host}, trust_env=False, timeout=60)
    assert response.status_code == 200


def test_prometheus_may_use_any_name_and_other_paths_are_404(measured: Measured) -> None:
    def status(path: str) -> int:
        headers = {"Host": "metrics:9117"} if path == "/metrics" else {}
        return httpx.get(
            f"{measured.url}{path}", headers=headers, trust_env=False, timeout=60
        ).status_code

    assert [status(path) for path in ("/metrics", "/favicon.ico", "/metrics/x")] == [200, 404, 404]


def test_the_state_is_there_for_programs(measured: Measured) -> None:
    assert measured.site.ask("/path/second/status/410").status == 410

    def mount() -> dict | None:
        state = httpx.get(f"{measured.url}/status.json", trust_env=False, timeout=60).json()
        assert state["live"]["name"] == "app-1"
        found = next(mount for mount in state["mounts"] if mount["mount"] == "/path/second")
        return found if found["per_second"]["4xx"] > 0 else None

    found = until(mount, "the rate")
    assert found["milliseconds"]["p50"] > 0
