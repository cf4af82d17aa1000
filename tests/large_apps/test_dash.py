"""Dash: a page, its scripts, and a callback."""

import re
from collections.abc import Callable

import pytest

from tests.servers import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def site(large_app: Callable[[str, str], Site]) -> Site:
    return large_app("Dash", "dash")


def test_its_page_its_scripts_and_a_callback_are_below_its_mount(site: Site) -> None:
    with site.client() as client:
        page = client.get("/dash/")
        scripts = re.findall(r'<script src="([^"]+)"', page.text)
        assert len(scripts) > 5
        for script in scripts:
            assert script.startswith("/dash/")
            response = client.get(script)
            assert response.status_code == 200, script
            assert "javascript" in response.headers["Content-Type"]
        assert client.get("/dash/_dash-layout").json()["props"]["children"]
        change = {
            "output": "greeting.children",
            "outputs": {"id": "greeting", "property": "children"},
            "inputs": [{"id": "name", "property": "value", "value": "Grace"}],
            "changedPropIds": ["name.value"],
        }
        response = client.post("/dash/_dash-update-component", json=change)
        assert response.json()["response"] == {"greeting": {"children": "Hello, Grace!"}}
