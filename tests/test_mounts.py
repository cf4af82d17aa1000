"""The sample app works at any mount, alone and beside others."""

import re
from html import unescape

import httpx
import pytest

from tests.servers import Site

PAGES = [
    "",
    "form",
    "upload",
    "stream",
    "events?count=2&interval=0",
    "inspect/some/page?colour=green",
    "archive/letters/home/1912",
    "flags/true",
    "wait?seconds=0",
    "static/style.css",
]
MOUNTS = ["/path", "/", "/a/b"]


@pytest.fixture(params=MOUNTS)
def mount(request: pytest.FixtureRequest) -> str:
    """What stands before every URL of the app: empty for the mount `/`."""
    return request.param.rstrip("/")


@pytest.fixture
def home(mount: str, kind: str, request: pytest.FixtureRequest) -> Site:
    """A site of that kind that has the sample app at the mount."""
    return request.getfixturevalue("site" if mount == "/path" else "crowd")


def greet(client: httpx.Client, mount: str, name: str) -> httpx.Response:
    """Fill in the form and send it."""
    form = client.get(f"{mount}/form").raise_for_status()
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', form.text)
    assert token, "the form has no CSRF token"
    return client.post(f"{mount}/form", data={"name": name, "csrf_token": token[1]})


def test_every_page_answers_and_links_only_into_its_own_mount(home: Site, mount: str) -> None:
    with home.client() as client:
        for page in PAGES:
            response = client.get(f"{mount}/{page}")
            assert response.status_code == 200, f"{page}: {response.text}"
            if response.headers["Content-Type"].startswith("text/html"):
                links = re.findall(r'(?:href|src|action|data-source)="([^"]*)"', response.text)
                strays = [link for link in links if not link.startswith(f"{mount}/")]
                assert links
                assert not strays, f"{page} leads out of the mount"
                for file in {unescape(link) for link in links if "/static/" in link}:
                    assert client.get(file).status_code == 200, f"{page} needs {file}"


def test_an_error_has_the_look_of_the_app_and_no_traceback(home: Site, mount: str) -> None:
    response = home.ask(f"{mount}/boom?visitor=Ada")
    assert response.status == 500
    assert f'href="{mount}/static/style.css"' in response.text
    assert "ZeroDivisionError" not in response.text
    assert "Retry-After" not in response.headers, "this is nginx's page, not the app's"


def test_a_form_comes_back_with_a_redirect_a_message_and_a_session(home: Site, mount: str) -> None:
    with home.client() as client:
        response = greet(client, mount, "Ada")
        assert response.status_code == 303
        assert response.headers["Location"] == f"{mount}/form"
        page = client.get(response.headers["Location"]).text
        assert "Hello, Ada!" in page
        assert "Hello, Ada!" not in client.get(f"{mount}/form").text, "a message is shown once"
        # Several times, for all workers.
        for number in range(2, 10):
            greet(client, mount, "Grace")
            assert f'id="greetings">{number}<' in client.get(f"{mount}/form").text


def test_a_forged_form_is_refused(home: Site, mount: str) -> None:
    with home.client() as client:
        assert client.post(f"{mount}/form", data={"name": "Mallory"}).status_code == 400


def test_the_session_cookie_belongs_to_the_mount(home: Site, mount: str) -> None:
    with home.client() as client:
        greet(client, mount, "Ada")
        (cookie,) = client.cookies.jar
        assert cookie.path == (mount or "/")


def test_an_external_url_has_the_scheme_host_and_port_of_the_request(
    home: Site, mount: str
) -> None:
    for host in (f"127.0.0.1:{home.port}", "example.com", "www.example.org:9443"):
        seen = home.ask(f"{mount}/inspect?a=b", {"Host": host}).json()
        assert seen["external_url"] == f"http://{host}{mount}/"
        assert seen["url"] == f"http://{host}{mount}/inspect?a=b"
        assert seen["url_root"] == f"http://{host}{mount}/"
        assert (seen["script_root"], seen["path"]) == (mount, "/inspect")


def test_two_apps_side_by_side_have_sessions_of_their_own(crowd: Site) -> None:
    with crowd.client() as client:
        names = {"": "Ada", "/a/b": "Grace"}
        for mount, name in names.items():
            greet(client, mount, name)
        for mount, name in names.items():
            page = client.get(f"{mount}/form").text
            assert f'id="name">{name}<' in page
            assert 'id="greetings">1<' in page


@pytest.mark.parametrize(
    ("target", "mount", "path"),
    [
        ("/inspect", "", "/inspect"),
        ("/a/b/inspect", "/a/b", "/inspect"),
        ("/inspect/a/b", "", "/inspect/a/b"),
        ("/a/b/inspect/a/b/inspect", "/a/b", "/inspect/a/b/inspect"),
    ],
)
def test_the_longest_mount_answers(crowd: Site, target: str, mount: str, path: str) -> None:
    seen = crowd.ask(target).json()
    assert (seen["script_root"], seen["path"]) == (mount, path)


@pytest.mark.parametrize("target", ["/a/bc", "/a/b.html", "/a", "/shopping/", "/A/B/"])
def test_what_only_looks_like_a_mount_goes_to_the_app_at_the_root(crowd: Site, target: str) -> None:
    response = crowd.ask(target)
    assert response.status == 404
    assert 'href="/static/style.css"' in response.text, "this is not the root app's own 404"


@pytest.mark.parametrize("mount", ["/a/b", "/shop", "/shop/second", "/plain"])
def test_each_mount_without_its_slash_leads_there(crowd: Site, mount: str) -> None:
    response = crowd.ask(f"{mount}?x=1")
    assert (response.status, response.headers["Location"]) == (308, f"{mount}/?x=1")
