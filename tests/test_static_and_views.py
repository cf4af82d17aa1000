"""Files and views of the same URL, dotfiles, and files behind a login: as Flask's own server."""

import shutil
from pathlib import Path

import pytest

from tests.servers import NotServedError, Serve, Site

APPS = Path(__file__).with_name("static_apps")


@pytest.fixture(scope="session")
def static_apps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The two apps with their files, with dotfiles among them."""
    folder = tmp_path_factory.mktemp("static") / "apps"
    shutil.copytree(APPS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("atop_files", "hidden_files"):
        for path in (".env", ".git/config", "css/.htpasswd", "css/.svn/x", "css/.history"):
            file = folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("DB_PASSWORD=x")
        for path in (*NAMES, ".well-known/security.txt"):
            file = folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"the file {path}\n")
    return tuple(sorted(folder.iterdir()))


@pytest.fixture
def mixed(kind: str, shared_site: Serve, static_apps: tuple[Path, ...]) -> Site:
    """Both apps, by host and by container alike."""
    return shared_site(
        kind, files=static_apps, MOUNTS="/x=atop:app /h=hidden:app", SECRET_KEY="x", WORKERS=1
    )


DOTFILES = [
    *(".env", ".git/config", ".git", ".git/", "css/.htpasswd", "css/.svn/x", "%2eenv"),
    *("css/../.env", "css/%2e%2e/.env", ".//.env", "css%2f.htpasswd", "css/.later"),
]
NAMES = ["private.html", "report", "form.html", "open.txt", "css/style.css"]
VIEWS = [
    ("GET", "/x/private.html", 401, None),
    ("HEAD", "/x/private.html", 401, b""),
    ("GET", "/x/report", 200, b"the view\n"),
    ("POST", "/x/report", 200, b"the view\n"),
    ("GET", "/x/form.html", 200, b"the file form.html\n"),
    ("GET", "/x/open.txt", 200, b"the file open.txt\n"),
    ("HEAD", "/x/open.txt", 200, b""),
    ("POST", "/x/open.txt", 405, None),
    ("PUT", "/x/open.txt", 405, None),
    ("OPTIONS", "/x/open.txt", 200, b""),
    ("OPTIONS", "/x/report", 200, b""),
    ("GET", "/x/.profile", 200, b"the view "),
    ("GET", "/x/a/b/.history", 200, b"the view a/b"),
    ("GET", "/x/.well-known/change-password", 200, b"the view change-password"),
    ("GET", "/h/.well-known/security.txt", 404, None),
    ("GET", "/h/assets/.well-known/security.txt", 200, b"the file .well-known/security.txt\n"),
    ("GET", "/h/static/.well-known/nothing", 404, None),
    ("GET", "/h/.profile", 200, b"the view "),
    ("GET", "/h/files/.bashrc", 200, b"the view .bashrc"),
    ("GET", "/h/files/a/.git/config", 200, b"the view a/.git/config"),
    ("GET", "/h/members/hidden_files/open.txt", 401, None),
]


def test_a_url_gets_what_flasks_own_server_sends(mixed: Site) -> None:
    for method, target, status, body in VIEWS:
        response = mixed.ask(target, method=method)
        assert response.status == status, (method, target)
        assert body is None or response.body == body, (method, target)
        if method == "OPTIONS":
            assert "OPTIONS" in response.headers["Allow"], target


def test_a_form_for_the_url_of_a_file_reaches_its_view_whole(mixed: Site) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for size in (1, 1_000_000):
        response = mixed.ask("/x/form.html", headers, "POST", b"name=" + b"a" * size)
        assert (response.status, response.body) == (200, b"a" * size)


def test_a_file_behind_a_login_is_for_members(mixed: Site) -> None:
    response = mixed.ask("/h/members/hidden_files/open.txt", {"Cookie": "member=yes"})
    assert (response.status, response.body) == (200, b"the file open.txt\n")
    assert "hidden:app responds with status 401 to /h/members/hidden_files/" in mixed.logs()
    assert not mixed.reached_the_app(mixed.ask("/h/assets/open.txt"))
    assert not mixed.reached_the_app(mixed.ask("/h/parts/of/it/hidden_files/open.txt"))


def test_a_dotfile_is_a_404_of_nginx_whatever_the_url(mixed: Site) -> None:
    below = ["/h/assets", "/h/parts/of/it/hidden_files", "/h/members/hidden_files"]
    targets = [f"{path}/{name}" for path in below for name in (*DOTFILES, ".static")]
    targets += ["/x/css/.static", "/x/css/.htpasswd", "/x/css/.later"]
    responses = [
        mixed.ask(target, {"Cookie": "member=yes"}, method)
        for target in targets
        for method in ("GET", "HEAD", "POST")
    ]
    assert {response.status for response in responses} == {404}
    # Where views may have such names, too, an image has no dotfile in the first place.
    assert {mixed.ask(f"/x/{name}").status for name in DOTFILES} == {404}
    # The log is written once a second, so this waits once and not for each.
    assert not [r.headers["X-Request-ID"] for r in reversed(responses) if mixed.reached_the_app(r)]


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (
            "app = Flask(__name__, static_folder='.')",
            "MOUNTS: the static_folder of Flask 'beginner' in beginner:app is",
        ),
        (
            "app = Flask(__name__, static_folder='..', static_url_path='/s')",
            "MOUNTS: the static_folder of Flask 'beginner' in beginner:app is",
        ),
        (
            "from flask import Blueprint\napp = Flask(__name__)\n"
            "app.register_blueprint(Blueprint('b', __name__, static_folder='', url_prefix='/b'))",
            "MOUNTS: the static_folder of Blueprint 'b' in beginner:app is",
        ),
        (
            "from flask import Blueprint\napp = Flask(__name__)\n"
            "app.register_blueprint(Blueprint('b', __name__, static_folder='.', url_prefix='/b'))",
            "MOUNTS: the static_folder of Blueprint 'b' in beginner:app is",
        ),
        (
            "app = Flask(__name__, static_folder='instance')",
            "MOUNTS: the static_folder of Flask 'beginner' in beginner:app is",
        ),
    ],
)
def test_an_app_that_would_publish_its_source_does_not_start(
    serve: Serve, tmp_path: Path, app: str, said: str
) -> None:
    (tmp_path / "beginner.py").write_text(f"from flask import Flask\n{app}\n")
    knobs = {"MOUNTS": "/path=beginner:app", "SECRET_KEY": "x", "WORKERS": 1}
    with pytest.raises(NotServedError) as caught:
        serve("host", files=[tmp_path / "beginner.py"], **knobs)
    assert said in str(caught.value)
    assert "Starting uWSGI" not in str(caught.value)
