"""No spelling of a path leads to a file that is not meant to be seen."""

from itertools import product
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.hostile.sizes import PROBE
from tests.hostile.wire import Wire, request
from tests.servers import NotServedError, Site

SECRETS = ("root:x:0:0", "from flask import", "uwsgi_param", "a secret", "[uwsgi]", "-----BEGIN")
DOTS = ["..", ".%2e", "%2e%2e", "..;", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..%01", ".", "..."]
SLASHES = ["/", "%2f", "\\", "%5c", "//", "/./", "%252f", ";/"]
GOALS = ["etc/passwd", "app/probe.py", "probe.py", ".env", "uwsgi.ini", "nginx/nginx.conf"]
STARTS = ["/", "/path/", "/path/static/", "/path/static", "/nginx-error-pages/", "/path/static/css"]


@pytest.fixture
def tempting_site(kind: str, shared_site: Serve, tmp_path_factory: pytest.TempPathFactory):
    """The probe with a static folder in which things lie that do not belong there."""
    folder = tmp_path_factory.getbasetemp() / "tempting"
    static = folder / "static"
    if not folder.exists():
        (static / ".git").mkdir(parents=True)
        (static / "css").mkdir()
        (static / "css" / "a.css").write_text("body {}")
        for name in (".env", ".git/config", ".htpasswd", "css/.a.css.swp"):
            (static / name).write_text("a secret")
    return shared_site(
        kind,
        files=(PROBE, static),
        env_file="APP_TOKEN='a secret'\n",
        MOUNTS="/path=probe:app",
    )


def rejected(site: Site, target: str | bytes) -> bool:
    """Whether the request was rejected, or reached a view that only echoes it."""
    with Wire(site.port) as wire:
        reply = wire.send(request(target, b"Connection: close")).reply()
    text = reply.body.decode("latin-1")
    assert not [secret for secret in SECRETS if secret in text], f"{target!r}: {text[:200]}"
    return reply.status in (301, 308, 400, 403, 404, 405)


@pytest.mark.parametrize("start", STARTS)
def test_no_spelling_of_the_way_up_leads_anywhere(tempting_site: Site, start: str) -> None:
    for dots, slash, goal, times in product(DOTS, SLASHES, GOALS, (1, 2, 5)):
        target = start + f"{dots}{slash}" * times + goal
        assert rejected(tempting_site, target), target


@pytest.mark.parametrize(
    "target",
    [
        "/path/static/.env",
        "/path/static/%2eenv",
        "/path/static/css/../.env",
        "/path/static/.git/config",
        "/path/static/.htpasswd",
        "/path/static/css/.a.css.swp",
        "/path//static/.env",
        "/path/static//.env",
        "/path//static//css//.a.css.swp",
        "/path/static/.git//config",
        "/path//.env",
        "//path/static/.env",
        "//.env",
        "/path/.env",
        "/.env",
        "/path/static../probe.py",
        "/path/static/../../probe.py",
        "/path/probe.py",
        "/probe.py",
        "/path/static/",
        "/path/static/css/",
        "/path/static/css/a.css%00.txt",
        "/path/static/css/a.css%20",
        "/path/static/css\\a.css",
        "/nginx-error-pages/503.html",
        "/nginx-error-pages/../nginx.conf",
        "/sockets/live.sock",
        "/path/../sockets/live.sock",
    ],
)
def test_what_lies_beside_the_static_files_is_not_served(tempting_site: Site, target: str) -> None:
    assert rejected(tempting_site, target)


def test_what_does_belong_there_is_served(tempting_site: Site) -> None:
    """So that the refusals above mean something."""
    for target in ("/path/static/css/a.css", "/path/x/../static//css/%61.css"):
        assert tempting_site.ask(target).text == "body {}", target


@pytest.mark.parametrize("goal", ["/etc/passwd", "/etc", "../..", "../../probe.py"])
def test_a_link_that_leads_out_of_the_static_folder_is_refused_at_the_start(
    serve: Serve, tmp_path: Path, goal: str
) -> None:
    (tmp_path / "static" / "css").mkdir(parents=True)
    (tmp_path / "static" / "css" / "link").symlink_to(goal)
    files = (PROBE, tmp_path / "static")
    with pytest.raises(NotServedError, match="leads out of the static folder"):
        serve("host", files=files, MOUNTS="/path=probe:app")


def test_a_link_that_appears_later_among_the_published_files_is_not_followed(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("body {}")
    site = serve("host", files=(PROBE, tmp_path / "static"), MOUNTS="/path=probe:app")
    (published,) = (site.folder / ".run" / "static").rglob("a.css")
    published.with_name("file").symlink_to("/etc/passwd")
    published.with_name("folder").symlink_to("/etc")
    published.with_name("inside").symlink_to("a.css")
    for target in ("file", "folder/passwd", "inside"):
        assert rejected(site, f"/path/static/{target}"), target
    assert site.ask("/path/static/a.css").text == "body {}"


@pytest.mark.parametrize(
    "target", [b"/path/\0", b"/path/%00", b"/path/%zz", b"/path/%", b"/path/\x01", b"/path/ x"]
)
def test_a_path_with_a_forbidden_byte_is_nginxs_400(site: Site, target: bytes) -> None:
    with Wire(site.port) as wire:
        assert wire.send(request(target)).reply().status == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example/..", "evil.example%2f..", "/evil"])
def test_slashes_at_the_beginning_lead_to_no_other_host(site: Site, host: str) -> None:
    for start in ("//", "/path//", "/\\", "/path/\\"):
        with Wire(site.port) as wire:
            reply = wire.send(request(f"{start}{host}")).reply()
        location = reply.headers.get("Location", "")
        assert not location or location.startswith(("http://localhost/", "/path/")), (
            start,
            location,
        )


def test_bytes_that_are_no_text_reach_the_app_as_they_are(site: Site) -> None:
    response = site.ask("/path/seen/%ff%fe\\..;x%2fy")
    assert response.json()["PATH_INFO"] == "/seen/\xff\xfe\\..;x/y"
