"""Any WSGI app moves in by settings alone. These (in `foreign_apps`) know nothing of the bundle."""

import re

import pytest

from tests.servers import FOREIGN_APPS, Site


def test_they_know_nothing_of_the_bundle() -> None:
    bundle = re.compile(r"\b(uwsgi|deploy|yourapplication|SCRIPT_NAME|APPLICATION_ROOT)\b")
    for file in FOREIGN_APPS.rglob("*.py"):
        docstring, code = file.read_text().split('"""\n', 1)
        assert docstring
        assert not bundle.search(code), file.name


@pytest.mark.parametrize("mount", ["/shop", "/shop/second"])
def test_an_app_factory_in_a_package(crowd: Site, mount: str) -> None:
    with crowd.client() as client:
        window = client.get(f"{mount}/")
        assert f'href="{mount}/basket/"' in window.text
        response = client.post(f"{mount}/basket/apple")
        assert (response.status_code, response.headers["Location"]) == (302, f"{mount}/basket/")
        assert client.get(f"{mount}/basket/").json() == {"basket": ["apple"]}


def test_an_app_in_a_single_file(crowd: Site) -> None:
    assert crowd.ask("/note/").text == "This note is at /note/."


def test_an_app_that_is_no_flask_app(crowd: Site) -> None:
    environ = crowd.ask("/plain/a/b?c=d").json()
    expected = {"SCRIPT_NAME": "/plain", "PATH_INFO": "/a/b", "QUERY_STRING": "c=d"}
    assert expected.items() <= environ.items()


def test_an_app_that_needs_a_variable_from_the_env_file(crowd: Site) -> None:
    assert crowd.ask("/greeter/").text == "Good morning"
