"""Static files are laid out for nginx as their URLs name them."""

import gzip
import os
from pathlib import Path

import brotli
import pytest
from flask import Blueprint, Flask

from deploy import static
from deploy.mounts import Mount
from deploy.refusal import Refusal

MOUNT = Mount("/path", "shop:app")


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
    return tmp_path / "root"


def published(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def shop(source: Path, **options) -> Flask:
    return Flask("shop", static_folder=str(source), **options)


def test_a_file_lands_where_its_url_points(source: Path, root: Path) -> None:
    app = shop(source)
    assert static.publish(app, MOUNT, root) == 2
    with app.test_request_context():
        url = app.url_for("static", filename="logo.png")
    assert (root / f"path{url}").read_bytes() == (source / "logo.png").read_bytes()


def test_a_mount_at_the_root_and_another_static_url_are_followed(source: Path, root: Path) -> None:
    static.publish(shop(source, static_url_path="/assets"), Mount("/", "shop:app"), root)
    assert "assets/logo.png" in published(root)


def test_a_static_folder_at_the_top_of_its_mount_is_followed(source: Path, root: Path) -> None:
    static.publish(shop(source, static_url_path=""), Mount("/a/b", "shop:app"), root)
    assert "a/b/logo.png" in published(root)


def test_files_of_a_blueprint_and_of_one_within_it_are_published(source: Path, root: Path) -> None:
    app = Flask("shop", static_folder=None)
    outer = Blueprint("outer", "outer", static_folder=str(source), url_prefix="/outer")
    inner = Blueprint("inner", "inner", static_folder=str(source), url_prefix="/inner")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    assert static.publish(app, MOUNT, root) == 4
    assert "path/outer/static/logo.png" in published(root)
    assert "path/outer/inner/static/logo.png" in published(root)


def test_an_app_without_static_files_publishes_none(root: Path) -> None:
    assert static.publish(Flask("shop", static_folder=None), MOUNT, root) == 0
    assert published(root) == []


def test_a_static_folder_that_does_not_exist_publishes_none(tmp_path: Path, root: Path) -> None:
    assert static.publish(shop(tmp_path / "nowhere"), MOUNT, root) == 0


def test_a_plain_wsgi_app_publishes_none(root: Path) -> None:
    assert static.publish(lambda environ, start_response: [], MOUNT, root) == 0


def test_a_rule_with_a_variable_is_left_to_the_app(source: Path, root: Path) -> None:
    app = shop(source, static_url_path="/<language>/static")
    assert static.publish(app, MOUNT, root) == 0


def test_text_gets_compressed_twins_and_an_image_does_not(source: Path, root: Path) -> None:
    static.publish(shop(source), MOUNT, root)
    assert published(root) == [
        "path/static/css/style.css",
        "path/static/css/style.css.br",
        "path/static/css/style.css.gz",
        "path/static/logo.png",
    ]
    twins = root / "path/static/css"
    style = (source / "css/style.css").read_bytes()
    assert gzip.decompress((twins / "style.css.gz").read_bytes()) == style
    assert brotli.decompress((twins / "style.css.br").read_bytes()) == style


def test_a_file_that_fits_a_packet_gets_no_twin(source: Path, root: Path) -> None:
    (source / "small.css").write_text("p {}")
    static.publish(shop(source), MOUNT, root)
    assert "path/static/small.css" in published(root)
    assert not {"path/static/small.css.gz", "path/static/small.css.br"} & {*published(root)}


def test_a_file_and_its_twin_have_the_time_of_the_source(source: Path, root: Path) -> None:
    os.utime(source / "css/style.css", (1_000_000_000, 1_000_000_000))
    static.publish(shop(source), MOUNT, root)
    for name in ("style.css", "style.css.gz", "style.css.br"):
        assert (root / "path/static/css" / name).stat().st_mtime == 1_000_000_000


def test_dotfiles_and_what_lies_in_hidden_folders_stay_private(source: Path, root: Path) -> None:
    (source / ".env").write_text("SECRET_KEY=...")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("...")
    assert static.publish(shop(source), MOUNT, root) == 2
    assert not any("/." in name for name in published(root))


@pytest.mark.parametrize("goal", ["outside", "outside/secret.txt"])
def test_a_link_that_leads_outside_is_refused(
    source: Path, root: Path, tmp_path: Path, goal: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (source / "link").symlink_to(tmp_path / goal)
    with pytest.raises(Refusal, match="link that leads out of the static folder"):
        static.publish(shop(source), MOUNT, root)


def test_a_link_that_stays_inside_is_left_to_the_app(source: Path, root: Path) -> None:
    (source / "link.css").symlink_to("css/style.css")
    assert static.publish(shop(source), MOUNT, root) == 2
    assert "path/static/link.css" not in published(root)


def test_a_changed_file_replaces_the_old_one_and_its_twin(source: Path, root: Path) -> None:
    static.publish(shop(source), MOUNT, root)
    style = source / "css/style.css"
    style.write_text("p { color: orange }\n" * 100)
    os.utime(style, (2_000_000_000, 2_000_000_000))
    static.publish(shop(source), MOUNT, root)
    target = root / "path/static/css/style.css"
    assert target.read_text() == style.read_text()
    assert gzip.decompress(target.with_name("style.css.gz").read_bytes()) == style.read_bytes()
    assert brotli.decompress(target.with_name("style.css.br").read_bytes()) == style.read_bytes()


def test_a_text_that_has_shrunk_below_a_packet_loses_its_old_twin(source: Path, root: Path) -> None:
    # nginx prefers the twin, so a stale one would be served forever.
    static.publish(shop(source), MOUNT, root)
    style = source / "css/style.css"
    style.write_text("p {}")
    os.utime(style, (2_000_000_000, 2_000_000_000))
    static.publish(shop(source), MOUNT, root)
    assert published(root) == ["path/static/css/style.css", "path/static/logo.png"]


def test_twins_that_were_made_before_are_taken(source: Path, root: Path) -> None:
    os.utime(source / "css/style.css", (1_000_000_000, 1_000_000_000))
    assert static.compress(source.parent) == 1
    made = {name: (source / "css" / name).read_bytes() for name in ("style.css.br", "style.css.gz")}
    static.publish(shop(source), MOUNT, root)
    for name, content in made.items():
        twin = root / "path/static/css" / name
        assert (twin.read_bytes(), twin.stat().st_mtime) == (content, 1_000_000_000)
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
    static.publish(shop(source), MOUNT, root)
    (source / "backup.tar").write_text("changed")
    os.utime(source / "backup.tar", (2_000_000_000, 2_000_000_000))
    static.publish(shop(source), MOUNT, root)
    assert (root / "path/static/backup.tar.gz").read_text() == "backup.tar.gz"


def test_an_unchanged_file_is_not_written_again(source: Path, root: Path) -> None:
    static.publish(shop(source), MOUNT, root)
    before = (root / "path/static/logo.png").stat().st_ino
    static.publish(shop(source), MOUNT, root)
    assert (root / "path/static/logo.png").stat().st_ino == before


def test_a_file_that_is_gone_stays_for_pages_that_name_it(source: Path, root: Path) -> None:
    static.publish(shop(source), MOUNT, root)
    (source / "logo.png").unlink()
    assert static.publish(shop(source), MOUNT, root) == 1
    assert (root / "path/static/logo.png").exists()


def test_nothing_half_written_is_left_behind(source: Path, root: Path) -> None:
    static.publish(shop(source), MOUNT, root)
    assert not list(root.rglob("*.part"))
