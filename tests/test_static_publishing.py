"""Static files are laid out for nginx as their URLs name them."""

import functools
import gzip
import os
import socket
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import brotli
import pytest
from flask import Blueprint, Flask, abort, redirect, request

from deploy.problems import Refusal
from deploy.server import publishing, static
from deploy.settings.mounts import Mount
from tests.servers import PROJECT

MOUNT = Mount("/path", "shop:app")
ENVIRONMENT = {
    "PUBLISH_STATIC_FILES": "1",
    "ENVIRONMENT": "development",
    "TLS_CERTIFICATE": "/dev/null",
    "SERVER_NAMES": "",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The static folder of an app."""
    folder = tmp_path / "static"  # Flask names the URL after it
    (folder / "css").mkdir(parents=True)
    (folder / "css" / "style.css").write_text("p { color: green }\n" * 100)
    (folder / "logo.png").write_bytes(bytes(5000))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What nginx serves."""
    return tmp_path / "run" / "static" / "live"


def publish(app: object, mount: Mount, root: Path, **settings: str) -> list[str]:
    environment = ENVIRONMENT | {"RUN_DIR": str(root.parent.parent)} | settings
    return publishing.publish([(mount, app)], environment)


def published(root: Path) -> list[str]:
    return sorted(
        str(p.relative_to(root))
        for p in root.rglob("*")
        if p.is_file() and not p.name.startswith(".")
    )


def count(root: Path) -> int:
    """How many files were published, without their precompressed variants."""
    return sum(not name.endswith((".br", ".gz")) for name in published(root))


@contextmanager
def another_is_live(root: Path) -> Iterator[None]:
    """An instance takes requests, as in a rollout."""
    sockets = root.parent.parent / "sockets"
    sockets.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(sockets / "live.sock"))
        live.listen()
        yield


def shop(source: Path, **options) -> Flask:
    return Flask("shop", static_folder=str(source), **options)


def test_a_file_lands_where_its_url_points(source: Path, root: Path) -> None:
    app = shop(source)
    publish(app, MOUNT, root)
    assert count(root) == 2
    with app.test_request_context():
        url = app.url_for("static", filename="logo.png")
    assert (root / f"path{url}").read_bytes() == (source / "logo.png").read_bytes()


def test_a_mount_at_the_root_and_another_static_url_are_followed(source: Path, root: Path) -> None:
    publish(shop(source, static_url_path="/assets"), Mount("/", "shop:app"), root)
    assert "assets/logo.png" in published(root)


def test_a_static_folder_at_the_top_of_its_mount_is_followed(source: Path, root: Path) -> None:
    publish(shop(source, static_url_path=""), Mount("/a/b", "shop:app"), root)
    assert "a/b/logo.png" in published(root)


def test_files_of_a_blueprint_and_of_one_within_it_are_published(source: Path, root: Path) -> None:
    app = Flask("shop", static_folder=None)
    outer = Blueprint("outer", "outer", static_folder=str(source), url_prefix="/outer")
    inner = Blueprint("inner", "inner", static_folder=str(source), url_prefix="/inner")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    publish(app, MOUNT, root)
    assert count(root) == 4
    assert "path/outer/static/logo.png" in published(root)
    assert "path/outer/inner/static/logo.png" in published(root)


def test_an_app_without_static_files_publishes_none(root: Path) -> None:
    publish(Flask("shop", static_folder=None), MOUNT, root)
    assert count(root) == 0
    assert published(root) == []


def test_a_static_folder_that_does_not_exist_publishes_none(tmp_path: Path, root: Path) -> None:
    publish(shop(tmp_path / "nowhere"), MOUNT, root)
    assert count(root) == 0


def test_a_plain_wsgi_app_publishes_none(root: Path) -> None:
    publish(lambda environ, start_response: [], MOUNT, root)
    assert count(root) == 0


def test_a_rule_with_a_variable_is_left_to_the_app(source: Path, root: Path) -> None:
    app = shop(source, static_url_path="/<language>/static")
    publish(app, MOUNT, root)
    assert count(root) == 0


def test_text_gets_compressed_twins_and_an_image_does_not(source: Path, root: Path) -> None:
    publish(shop(source), MOUNT, root)
    assert published(root) == [
        "path/static/css/style.css",
        "path/static/css/style.css.br",
        "path/static/css/style.css.gz",
        "path/static/logo.png",
    ]
    variants = root / "path/static/css"
    style = (source / "css/style.css").read_bytes()
    assert gzip.decompress((variants / "style.css.gz").read_bytes()) == style
    assert brotli.decompress((variants / "style.css.br").read_bytes()) == style


def test_a_file_that_fits_a_packet_gets_no_twin(source: Path, root: Path) -> None:
    (source / "small.css").write_text("p {}")
    publish(shop(source), MOUNT, root)
    assert "path/static/small.css" in published(root)
    assert not {"path/static/small.css.gz", "path/static/small.css.br"} & {*published(root)}


def test_a_file_and_its_twin_have_the_time_of_the_source(source: Path, root: Path) -> None:
    os.utime(source / "css/style.css", (1_000_000_000, 1_000_000_000))
    publish(shop(source), MOUNT, root)
    for name in ("style.css", "style.css.gz", "style.css.br"):
        assert (root / "path/static/css" / name).stat().st_mtime == 1_000_000_000


def test_dotfiles_and_what_lies_in_hidden_folders_stay_private(source: Path, root: Path) -> None:
    (source / ".env").write_text("SECRET_KEY=...")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("...")
    publish(shop(source), MOUNT, root)
    assert count(root) == 2
    assert not any("/." in name for name in published(root))


@pytest.mark.parametrize("goal", ["outside", "outside/secret.txt"])
def test_a_link_that_leads_outside_is_refused(
    source: Path, root: Path, tmp_path: Path, goal: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (source / "link").symlink_to(tmp_path / goal)
    with pytest.raises(Refusal, match="link that leads out of the static folder"):
        publish(shop(source), MOUNT, root)


def test_a_link_that_stays_inside_is_left_to_the_app(source: Path, root: Path) -> None:
    (source / "link.css").symlink_to("css/style.css")
    publish(shop(source), MOUNT, root)
    assert count(root) == 2
    assert "path/static/link.css" not in published(root)


def test_a_changed_file_replaces_the_old_one_and_its_twin(source: Path, root: Path) -> None:
    publish(shop(source), MOUNT, root)
    style = source / "css/style.css"
    style.write_text("p { color: orange }\n" * 100)
    os.utime(style, (2_000_000_000, 2_000_000_000))
    publish(shop(source), MOUNT, root)
    target = root / "path/static/css/style.css"
    assert target.read_text() == style.read_text()
    assert gzip.decompress(target.with_name("style.css.gz").read_bytes()) == style.read_bytes()
    assert brotli.decompress(target.with_name("style.css.br").read_bytes()) == style.read_bytes()


def test_a_text_that_has_shrunk_below_a_packet_loses_its_old_twin(source: Path, root: Path) -> None:
    # nginx prefers the precompressed variant, so a stale one would be served forever.
    publish(shop(source), MOUNT, root)
    style = source / "css/style.css"
    style.write_text("p {}")
    os.utime(style, (2_000_000_000, 2_000_000_000))
    publish(shop(source), MOUNT, root)
    assert published(root) == ["path/static/css/style.css", "path/static/logo.png"]


def test_twins_that_were_made_before_are_taken(source: Path, root: Path) -> None:
    os.utime(source / "css/style.css", (1_000_000_000, 1_000_000_000))
    assert static.compress(source.parent) == 1
    made = {name: (source / "css" / name).read_bytes() for name in ("style.css.br", "style.css.gz")}
    publish(shop(source), MOUNT, root)
    for name, content in made.items():
        variant = root / "path/static/css" / name
        assert (variant.read_bytes(), variant.stat().st_mtime) == (content, 1_000_000_000)
    assert brotli.decompress(made["style.css.br"]) == (source / "css/style.css").read_bytes()


def test_twins_are_made_in_static_folders_and_where_there_are_none_yet(source: Path) -> None:
    (source / "css/style.css.gz").write_bytes(b"the author's own")
    (source / ".hidden.css").write_text("p {}" * 1000)
    (source.parent / "data.json").write_text("[0]" * 1000)
    assert static.compress(source.parent) == 1
    assert (source / "css/style.css.gz").read_bytes() == b"the author's own"
    assert {p.name for p in source.parent.rglob("*.br")} == {"style.css.br"}
    assert static.compress(source.parent) == 0


def test_an_archive_of_the_apps_own_is_not_taken_for_a_twin(source: Path, root: Path) -> None:
    for name in ("backup.tar.gz", "backup.tar"):
        (source / name).write_text(name)
    publish(shop(source), MOUNT, root)
    (source / "backup.tar").write_text("changed")
    os.utime(source / "backup.tar", (2_000_000_000, 2_000_000_000))
    publish(shop(source), MOUNT, root)
    assert (root / "path/static/backup.tar.gz").read_text() == "backup.tar.gz"


def test_only_files_with_fingerprints_stay_and_only_while_another_instance_is_live(
    source: Path, root: Path
) -> None:
    for name in ("app.0a1b2c3d.js", "app.js"):
        (source / name).write_text("old" * 1000)
    publish(shop(source), MOUNT, root)
    for name in ("app.0a1b2c3d.js", "app.js"):
        (source / name).unlink()
    with another_is_live(root):
        publish(shop(source), MOUNT, root)
        assert {p.name for p in root.glob("path/static/app.*")} == {
            *("app.0a1b2c3d.js", "app.0a1b2c3d.js.br", "app.0a1b2c3d.js.gz")
        }
    publish(shop(source), MOUNT, root)
    assert not list(root.glob("path/static/app.*"))


def test_what_an_earlier_instance_left_is_not_served(source: Path, root: Path) -> None:
    """It may have been compromised, and the directory is its user's."""
    publish(shop(source), MOUNT, root)
    style = root / "path/static/css/style.css"
    seen = style.stat()
    style.write_text("stolen")
    os.utime(style, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    for planted in (root / "path" / "login", root / "other" / "page.html", root.parent / "new-x"):
        planted.parent.mkdir(parents=True, exist_ok=True)
        planted.write_text("stolen")
    (root / "path" / "link").symlink_to(source)
    (root.parent / "new-y" / "z").mkdir(parents=True)
    publish(shop(source), MOUNT, root)
    assert style.read_bytes() == (source / "css/style.css").read_bytes()
    assert count(root) == 2
    assert [path.name for path in root.parent.iterdir()] == ["live"]


def test_all_can_be_read_by_nginx_whatever_the_umask(source: Path, root: Path) -> None:
    (source / "logo.png").chmod(0o600)
    umask = os.umask(0o077)
    try:
        publish(shop(source), MOUNT, root)
    finally:
        os.umask(umask)
    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644), path


# --- What Flask would not serve ---


def test_a_view_goes_before_a_file_of_the_same_url(source: Path, root: Path) -> None:
    (source / "private.html").write_text("private")
    (source / "report").write_text("a file")
    app = shop(source, static_url_path="")
    app.get("/private.html", endpoint="private")(lambda: abort(401))
    app.get("/css/<name>", endpoint="css")(lambda name: name)
    app.route("/report", methods=["GET", "POST"], endpoint="report")(lambda: "the view")
    app.post("/logo.png", endpoint="logo")(lambda: "nginx leaves all but GET and HEAD to the app")
    publish(app, MOUNT, root)
    assert published(root) == ["path/logo.png"]


def test_a_mount_goes_before_a_file_of_the_app_above_it(source: Path, root: Path) -> None:
    environment = ENVIRONMENT | {"RUN_DIR": str(root.parent.parent)}
    other = Flask("other", static_folder=None)
    apps = [
        (Mount("/", "shop:app"), shop(source, static_url_path="")),
        (Mount("/css", "o:a"), other),
    ]
    publishing.publish(apps, environment)
    assert published(root) == ["logo.png"]


def own_view(app: Flask) -> None:
    app.view_functions["static"] = lambda filename: "mine"


def decorated(app: Flask) -> None:
    flasks = app.view_functions["static"]

    @functools.wraps(flasks)
    def with_login(**arguments: str):
        if "user" not in request.cookies:
            abort(401)
        return flasks(**arguments)

    app.view_functions["static"] = with_login


def overridden(app: Flask) -> None:
    app.send_static_file = lambda filename: "mine"


def guarded(app: Flask) -> None:
    app.before_request(lambda: abort(401) if "user" not in request.cookies else None)


def guarded_by_address(app: Flask) -> None:
    app.before_request(lambda: abort(403) if request.remote_addr != "127.0.0.1" else None)


def guarded_by_redirect(app: Flask) -> None:
    app.before_request(lambda: None if request.path == "/login" else redirect("/login"))


def guarded_in_part(app: Flask) -> None:
    app.before_request(lambda: abort(401) if request.path.endswith((".css", ".png")) else None)


def guarded_by_middleware(app: Flask) -> None:
    def closed(environ, start_response):
        start_response("401 Unauthorized", [])
        return []

    app.wsgi_app = closed


def broken(app: Flask) -> None:
    app.before_request(lambda: 1 / 0)


def on_another_host(app: Flask) -> None:
    app.subdomain_matching = True


@pytest.mark.parametrize(
    "change",
    [
        *(own_view, decorated, overridden, guarded, guarded_by_address, guarded_by_redirect),
        *(guarded_in_part, guarded_by_middleware, broken, on_another_host),
    ],
)
def test_what_a_stranger_does_not_get_from_flask_is_left_to_it(
    source: Path, root: Path, change: Callable[[Flask], None]
) -> None:
    app = shop(source)
    change(app)
    said = publish(app, MOUNT, root)
    assert published(root) == []
    if change in {guarded, guarded_in_part, guarded_by_middleware}:
        assert (
            "shop:app responds with status 401 to /path/static/logo.png without a login" in said[0]
        )


def test_hooks_that_let_everybody_pass_do_not_matter(source: Path, root: Path) -> None:
    app = shop(source)
    app.before_request(lambda: None)
    app.after_request(lambda response: response)
    assert publish(app, MOUNT, root) == []
    assert count(root) == 2


def test_with_tls_the_app_is_asked_over_tls(source: Path, root: Path) -> None:
    app = shop(source)
    app.before_request(lambda: None if request.is_secure else redirect("https://x.example/"))
    publish(app, MOUNT, root, TLS_CERTIFICATE="/cert.pem", SERVER_NAMES="*.x.example")
    assert count(root) == 2


def test_publishing_can_be_switched_off(source: Path, root: Path) -> None:
    publish(shop(source), MOUNT, root, PUBLISH_STATIC_FILES="")
    assert published(root) == []
    assert (root / "path/static/.static").exists(), "dotfiles are hidden all the same"


def test_what_changes_while_the_app_runs_is_left_to_it(
    source: Path, root: Path, tmp_path: Path
) -> None:
    publish(shop(source), MOUNT, root, DATA_DIR=str(tmp_path / "elsewhere"))
    assert count(root) == 2
    app = Flask("shop", static_folder=str(source), instance_path=str(source.parent / "i"))
    app.instance_path = str(tmp_path)
    with pytest.raises(Refusal, match="holds"):
        publish(shop(source), MOUNT, root, DATA_DIR=str(source / "data"))
    uploads = tmp_path / "data" / "static"
    uploads.mkdir(parents=True)
    (uploads / "cat.png").write_bytes(b"cat")
    publish(shop(uploads), MOUNT, root, DATA_DIR=str(tmp_path / "data"))
    assert published(root) == []


# --- What must not be public ---


def test_a_static_folder_that_holds_code_is_rejected(
    source: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("shop_with_code")
    module.__file__ = str(source / "shop.py")
    monkeypatch.setitem(sys.modules, "shop_with_code", module)
    with pytest.raises(Refusal) as caught:
        publish(shop(source), MOUNT, root)
    assert str(caught.value) == (
        f"MOUNTS: the static_folder of Flask 'shop' in shop:app is {str(source)!r}, which holds"
        f" code ({source}/shop.py), and all files in a static folder are public; move the public"
        " files into a directory of their own, such as 'static', and name that one."
    )


@pytest.mark.parametrize("folder", [".", "..", "/", str(PROJECT), str(PROJECT / "deploy")])
def test_a_static_folder_around_code_is_rejected(root: Path, folder: str) -> None:
    for app in (Flask("shop", static_folder=folder, root_path=str(PROJECT / "tests")), Flask("s")):
        if app.name == "s":
            app = Flask("s", static_folder=None)
            blueprint = Blueprint("b", "b", static_folder=folder, url_prefix="/b")
            blueprint.root_path = str(PROJECT / "tests")
            app.register_blueprint(blueprint)
        with pytest.raises(Refusal, match="which holds"):
            publish(app, MOUNT, root)


@pytest.mark.parametrize("name", ["RUN_DIR", "DATA_DIR", "TLS_KEY", "DEBUG_PASSWORD_FILE"])
def test_a_static_folder_around_data_or_settings_is_rejected(
    source: Path, root: Path, name: str
) -> None:
    with pytest.raises(Refusal, match=f"holds {name}"):
        publish(shop(source), MOUNT, root, **{name: str(source / "deep" / "inside")})


def test_the_instance_folder_is_no_static_folder(source: Path, root: Path) -> None:
    with pytest.raises(Refusal, match="holds the instance folder"):
        publish(shop(source, instance_path=str(source)), MOUNT, root)


@pytest.mark.parametrize(
    "begin",
    [b"SQLite format 3\0...", b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN RSA PRIVATE KEY-----"],
)
def test_a_database_or_a_key_in_a_static_folder_is_rejected(
    source: Path, root: Path, begin: bytes
) -> None:
    (source / "css" / "anything").write_bytes(begin)
    with pytest.raises(Refusal, match="is a database or a private key"):
        publish(shop(source), MOUNT, root)


# --- Dotfiles ---


def test_directories_in_which_nginx_hides_dotfiles_are_marked(source: Path, root: Path) -> None:
    (source / ".git").mkdir()
    (source / ".well-known").mkdir()
    (source / ".well-known" / "security.txt").write_text("Contact: ...")
    publish(shop(source, static_url_path="/assets"), MOUNT, root)
    marks = sorted(str(p.relative_to(root)) for p in root.rglob(".static"))
    below = ["", ".well-known/", "css/"]
    assert marks == [f"path/assets/{name}.static" for name in below]
    assert (root / "path/assets/.well-known/security.txt").exists()


def test_at_the_top_of_a_mount_only_dotfiles_that_are_there_are_hidden(
    source: Path, root: Path
) -> None:
    (source / ".env").write_text("x")
    (source / ".git").mkdir()
    publish(shop(source, static_url_path=""), MOUNT, root)
    hidden = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob(".*")}
    assert hidden == {"path/.env": b"", "path/.git": b"", "path/css/.static": b""}


def test_a_dotfile_that_nginx_cannot_hide_is_rejected(source: Path, root: Path) -> None:
    (source / "css" / ".env").write_text("x")
    with pytest.raises(Refusal, match="nginx cannot hide it"):
        publish(shop(source, static_url_path="/<language>/static"), MOUNT, root)
