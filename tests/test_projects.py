"""Projects of other layouts and requirements: read as they are, served from where they are."""

import json
import re
import shutil
import urllib.request
from pathlib import Path

import pytest

from deploy.install import files, locks, packages, project
from deploy.problems import Refusal
from tests.servers import PROJECT, Serve, nginx_in_front

PROJECTS = Path(__file__).with_name("projects")
SHOP = "/shop=shop:create_app()"


@pytest.mark.parametrize(
    ("name", "source", "locked", "is_package"),
    [
        ("pinned", "requirements.txt", False, False),
        ("flask23", "requirements.txt", False, False),
        ("src_uv", "uv.lock", True, True),
        ("with_poetry", "poetry.lock", True, True),
    ],
)
def test_what_a_project_requires_is_found(
    name: str, source: str, locked: bool, is_package: bool
) -> None:
    found = project.read(PROJECTS / name)
    assert (found.source.name, found.locked, found.is_package) == (source, locked, is_package)


def test_a_project_without_requirements_gets_those_of_the_sample() -> None:
    assert project.read(PROJECTS / "single").source == project.SAMPLE


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "pyproject.toml",
            "[project\n",
            r"pyproject.toml cannot be read .*line 1.*; fix that line",
        ),
        ("Pipfile", "", "Pipfile is not supported; type: pipenv requirements"),
        ("deploy.py", "", "deploy.py has the name of the bundle's own package"),
    ],
)
def test_a_project_that_cannot_be_read_is_rejected(
    tmp_path: Path, file: str, text: str, sentence: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(Refusal, match=sentence):
        project.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Flask\n<<<<<<< HEAD\n", "requirements.txt line 2: a merge conflict"),
        ("Flask\n-r other.txt\n", "requirements.txt line 2: 'other.txt' does not exist"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(Refusal, match=sentence):
        list(project.lines(tmp_path / "requirements.txt"))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: No matching distribution found for nope==9", "line 2: 'nope==9' does not exist"),
        (
            "ERROR: Cannot install -r requirements.txt (line 1) and nope==9 because these package"
            " versions have conflicting dependencies.",
            "line 2: 'nope==9' conflicts with another requirement",
        ),
        ("ERROR: Cannot find command 'git' - do you have", "needs Git; type: apt-get install git"),
        ("ERROR: Something else.", r"cannot be installed \(Something else\)"),
    ],
)
def test_an_error_of_pip_is_one_sentence_with_the_line(
    tmp_path: Path, said: str, sentence: str
) -> None:
    (tmp_path / "requirements.txt").write_text("Flask==3.1.3\nnope==9\n")
    with pytest.raises(Refusal, match=sentence):
        raise Refusal(packages.explain(said, project.read(tmp_path)))


def test_what_uv_exports_is_split_into_what_has_hashes_and_what_cannot(tmp_path: Path) -> None:
    file = tmp_path / "exported.txt"
    file.write_text("# uv\na==1 \\\n    --hash=sha256:0\n    # via b\nb @ git+https://host/b@0\n")
    hashed, others = locks.split(file)
    assert hashed == "a==1 \\\n    --hash=sha256:0\n"
    assert others == "b @ git+https://host/b@0\n"


def test_secrets_data_and_the_bundle_itself_are_not_copied_into_an_image(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(PROJECTS / "src_uv", source)
    stays_out = (".env", "prod.env", "keys/a.pem", "instance/x", "secrets/a", ".git/config")
    stays_out += ("venv/pyvenv.cfg", "venv/bin/python", "web/deploy/defaults.env", "web/a.py")
    for name in (*stays_out, "src/shop/model.bin", "README.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    files.copy(source, target)
    copied = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert not copied & {*stays_out}
    assert {"src/shop/model.bin", "README.md", "uv.lock", "src/shop/static/shop.css"} <= copied


def test_an_app_is_served_from_its_own_directory(serve: Serve, tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "pinned", tmp_path / "shop")
    site = serve("host", APP_DIR=tmp_path / "shop", MOUNTS=SHOP, WORKERS=1, THREADS=2)
    about = site.ask("/shop/").json()
    assert about["directory"] == str(tmp_path / "shop")
    assert about["instance"] == str(tmp_path / "shop" / "instance")
    assert about["url"] == "/shop/"


def test_two_clones_behind_a_proxy_serve_two_apps(serve: Serve, tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "unsupported.md").read_text()
    block = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)[1]
    stand_ins = {}
    for path, documented in (("/shop", 8081), ("/blog", 8082)):
        site = serve(
            "host",
            APP_DIR=PROJECTS / "pinned",
            MOUNTS=f"{path}=shop:create_app()",
            WORKERS=1,
            THREADS=2,
            TRUSTED_PROXIES="127.0.0.1",
        )
        stand_ins[f"127.0.0.1:{documented};"] = f"127.0.0.1:{site.port};"
    with nginx_in_front(tmp_path, block, stand_ins) as port:
        for path in ("/shop/", "/blog/"):
            address = f"http://127.0.0.1:{port}{path}"
            with urllib.request.urlopen(address, timeout=60) as response:
                assert json.load(response)["url"] == path


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("pinned", {"flask": "3.1.3", "werkzeug": "3.1.9", "humanize": "4.12.3", "shop": ""}),
        ("flask23", {"flask": "2.3.3", "werkzeug": "2.3.8", "humanize": "4.12.3", "shop": ""}),
        ("src_uv", {"flask": "3.1.3", "humanize": "4.12.3", "shop": "1.2.3"}),
        ("with_poetry", {"flask": "3.1.3", "humanize": "4.12.3", "shop": "1.2.3"}),
    ],
)
def test_an_image_has_what_a_project_requires(
    serve: Serve, tmp_path: Path, name: str, versions: dict[str, str]
) -> None:
    shutil.copytree(PROJECTS / name, tmp_path / "shop")
    site = serve("compose", APP_DIR=tmp_path / "shop", MOUNTS=SHOP, WORKERS=1, THREADS=2)
    about = site.ask("/shop/").json()
    assert versions.items() <= about.items()
    assert about["directory"] == "/app"
