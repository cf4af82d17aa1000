"""A session belongs to the mount that it was made at, and to no other."""

from http.cookies import Morsel, SimpleCookie

import pytest
from flask import Flask, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from yourapplication import create_app


def visited(**config: object) -> Flask:
    """The app, with a page that stores ``?name=`` and returns the previous one."""
    app = create_app({"SECRET_KEY": "one key for all of them", **config})

    @app.get("/visit/<name>")
    def visit(name: str) -> str:
        before, session["name"] = session.get("name", "none"), name
        return before

    return app


def cookie_of(app: Flask, base_url: str, **more: object) -> Morsel[str]:
    response = app.test_client().get("/visit/Ada", base_url=base_url, **more)
    (cookie,) = SimpleCookie(response.headers["Set-Cookie"]).values()
    return cookie


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("http://localhost", "/"),
        ("http://localhost/", "/"),
        ("http://localhost/path", "/path"),
        ("http://localhost/a/b/", "/a/b"),
        ("http://localhost/caf%C3%A9", "/caf%C3%A9"),
    ],
)
def test_the_cookie_has_the_path_of_the_mount(base_url: str, path: str) -> None:
    assert cookie_of(visited(), base_url)["path"] == path


def test_a_path_that_is_set_goes_before_the_mount() -> None:
    app = visited(SESSION_COOKIE_PATH="/shared")
    assert cookie_of(app, "http://localhost/path")["path"] == "/shared"


def test_the_cookie_is_for_this_site_and_not_for_scripts() -> None:
    cookie = cookie_of(visited(), "http://localhost")
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_the_cookie_is_secure_over_tls_alone_unless_that_is_set() -> None:
    assert cookie_of(visited(), "https://localhost")["secure"]
    assert not cookie_of(visited(), "http://localhost")["secure"]
    assert cookie_of(visited(SESSION_COOKIE_SECURE=True), "http://localhost")["secure"]


@pytest.mark.parametrize(
    "mounts", [("/a", "/b"), ("", "/a"), ("/a", "/a/b"), ("/a", "/ab")], ids=" and ".join
)
@pytest.mark.parametrize("turn", [1, -1], ids=["in turn", "the other way round"])
def test_two_apps_with_one_key_have_separate_sessions(mounts: tuple[str, ...], turn: int) -> None:
    client = Client(DispatcherMiddleware(visited(), {mount: visited() for mount in mounts}))
    for before in ("none", "Ada", "Grace"):
        after = {"none": "Ada", "Ada": "Grace", "Grace": "Grace"}[before]
        for mount in mounts[::turn]:
            name = client.get(f"{mount}/visit/{after}{mount.replace('/', '-')}").text
            expected = before if before == "none" else f"{before}{mount.replace('/', '-')}"
            assert name == expected, f"the session at {mount or '/'} is not its own"


def test_two_apps_share_a_session_where_a_common_path_is_set() -> None:
    apps = {mount: visited(SESSION_COOKIE_PATH="/") for mount in ("/a", "/b")}
    client = Client(DispatcherMiddleware(visited(), apps))
    client.get("/a/visit/Ada")
    assert client.get("/b/visit/Grace").text == "Ada"


@pytest.mark.parametrize("first", ["/", "/a"])
def test_the_order_of_two_cookies_of_one_name_does_not_matter(first: str) -> None:
    app = visited()
    root = cookie_of(app, "http://localhost").OutputString([])
    own = cookie_of(app, "http://localhost/a").OutputString([])
    sent = "; ".join([root, own] if first == "/" else [own, root])
    for base_url in ("http://localhost", "http://localhost/a"):
        client = app.test_client(use_cookies=False)
        response = client.get("/visit/Grace", base_url=base_url, headers={"Cookie": sent}).text
        assert response == "Ada", f"the session at {base_url} is lost"


def test_a_cookie_signed_with_another_key_is_no_session() -> None:
    spoofed = cookie_of(visited(SECRET_KEY="guessed"), "http://localhost").OutputString([])
    client = visited().test_client(use_cookies=False)
    assert client.get("/visit/Grace", headers={"Cookie": spoofed}).text == "none"
