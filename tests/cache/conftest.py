"""A site with one app, whose responses the test configures."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import HOST_AND_COMPOSE
from tests.servers import Response, Serve, Site

PRESS = Path(__file__).parent / "apps" / "press.py"
# One worker, which counts its requests. The tests are a trusted proxy.
KNOBS = {
    "MOUNTS": "/path=press:app",
    "SECRET_KEY": "press",
    "WORKERS": 1,
    "TRUSTED_PROXIES": "127.0.0.1 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "REQUEST_TIMEOUT": 5,
}
SIGNED_IN = {"Cookie": "session=ada"}


class Page:
    """A page of that app, of a name that no other test uses.

    Args:
        site: where it is.
        name: its name.
    """

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name

    def says(self, cache_control: str | None, *headers: tuple[str, str], **more: object) -> None:
        """Configure the response: `status`, `seconds`, `more` text, `streamed` or `exit`."""
        told = [("Cache-Control", cache_control)] if cache_control is not None else []
        body = json.dumps({"headers": [*told, *headers], **more}).encode()
        kind = {"Content-Type": "application/json"}
        assert self.site.ask(f"/path/page/{self.name}", kind, "PUT", body).status == 200

    def ask(self, headers: Mapping[str, str] | None = None, method: str = "GET") -> Response:
        return self.site.ask(f"/path/page/{self.name}", headers or {}, method)

    def asked_at_once(self, times: int) -> list[Response]:
        with ThreadPoolExecutor(times) as visitors:
            return list(visitors.map(lambda _: self.ask(), range(times)))

    @property
    def runs(self) -> int:
        """The number of requests that reached the app."""
        return sum(self.site.ask(f"/path/asked/{self.name}", SIGNED_IN).json().values())


@pytest.fixture
def page(request: pytest.FixtureRequest, press: Site) -> Page:
    return Page(press, f"page{abs(hash(request.node.nodeid))}")


@pytest.fixture(params=HOST_AND_COMPOSE)
def press(request: pytest.FixtureRequest, shared_site: Serve) -> Site:
    """By host and by container alike."""
    return shared_site(request.param, files=(PRESS,), **KNOBS)


def cached(response: Response) -> str | None:
    """X-Cache of the response: hit, miss, stale, or nothing."""
    return response.headers["X-Cache"]
