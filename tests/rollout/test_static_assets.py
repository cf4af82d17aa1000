"""A page that was loaded before a rollout still finds the files that it names."""

import threading

import pytest

from tests.rollout.conftest import Shop
from tests.servers import ComposeSite

# What a compromised app may write; on a host it is the same user as nginx, and may write anywhere.
PLANT = (
    "cd /run/web/static/live/path && echo bad | tee login static/x.0a1b2c3d.js static/app.js &&"
    " touch -d '2020-01-01' static/app.js && mkdir -p ../../previous/path/static &&"
    " cp static/x.0a1b2c3d.js ../../previous/path/static/"
)
PLANTED = ["/path/login", "/path/static/x.0a1b2c3d.js"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_old_static_files_are_served_during_and_after_a_rollout(shop: Shop) -> None:
    site = shop.site
    old, new = "/path/static/app.0a1b2c3d.js", "/path/static/app.4e5f6a7b.js"
    static = site.folder / "static"
    static.mkdir()
    (static / "app.0a1b2c3d.js").write_text("old")
    (static / "app.js").write_text("old")
    shop.rollout()
    if isinstance(site, ComposeSite):
        site.compose("exec", "-T", "app", "sh", "-c", PLANT)
        assert {site.ask(planted).text for planted in PLANTED} == {"bad\n"}
    responses = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.02):
            responses.append(site.ask(old))
            site.ask("/path/static/app.js")  # fill nginx's open_file_cache with the old one

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        (static / "app.0a1b2c3d.js").rename(static / "app.4e5f6a7b.js")
        (static / "app.4e5f6a7b.js").write_text("new")
        (static / "app.js").write_text("new")
        shop.write()
        shop.rollout()
    finally:
        over.set()
        visitor.join()
    assert site.ask(new).text == site.ask("/path/static/app.js").text == "new"
    responses.append(site.ask(old))
    assert {(response.status, response.text) for response in responses} == {(200, "old")}
    assert not site.reached_the_app(responses[-1])
    assert "immutable" in responses[-1].headers["Cache-Control"]
    for planted in PLANTED:
        assert site.ask(planted).status == 404
    assert site.ask("/path/static/app.4e5f6a7b.js").text == "new"
