"""The page that keeps entries in a database, on its own and below any mount."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.servers import PROJECT, free_port
from yourapplication import create_app
from yourapplication.entries import db
from yourapplication.settings import database_url

MIGRATE = "type: flask --app yourapplication db upgrade"


def flask(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "yourapplication", *words],
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, and nothing in them."""
    file = tmp_path_factory.mktemp("migrated") / "entries.db"
    done = flask(f"sqlite:///{file}", "db", "upgrade")
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture
def with_database() -> Iterator[Callable[[str], Flask]]:
    """Make the app with another database, which is closed after the test."""
    apps: list[Flask] = []

    def make(url: str) -> Flask:
        apps.append(create_app({"SQLALCHEMY_DATABASE_URI": url}))
        return apps[-1]

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def client(with_database: Callable[[str], Flask], migrated: Path, tmp_path: Path) -> FlaskClient:
    shutil.copy(migrated, tmp_path)
    return with_database(f"sqlite:///{tmp_path / migrated.name}").test_client()


def keep(client: FlaskClient, text: str, **more: object) -> TestResponse:
    page = client.get("/entries", **more).text
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)[1]
    return client.post("/entries", data={"text": text, "csrf_token": token}, **more)


def kept(client: FlaskClient) -> list[str]:
    return [unescape(text) for text in re.findall(r"<li><p>(.*?)</p>", client.get("/entries").text)]


def test_an_entry_is_listed_first_and_escaped(client: FlaskClient) -> None:
    assert kept(client) == []
    for text in ("bread", "<script>alert('Grüße')</script> & {{ 7 * 7 }}"):
        assert keep(client, text).location == "/entries"
    assert kept(client) == ["<script>alert('Grüße')</script> & {{ 7 * 7 }}", "bread"]
    assert "<script>alert" not in client.get("/entries").text


def test_only_the_newest_entries_are_listed(client: FlaskClient) -> None:
    for number in range(25):
        keep(client, f"entry {number}")
    assert kept(client) == [f"entry {number}" for number in range(24, 4, -1)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Please type something."),
        (" \n", "Please type something."),
        ("x" * 201, "at most 200 characters"),
        ("a\0b", "without NUL"),
    ],
    ids=["nothing", "white space", "too long", "NUL"],
)
def test_a_bad_entry_is_rejected_with_a_sentence(
    client: FlaskClient, text: str, sentence: str
) -> None:
    response = keep(client, text)
    assert response.status_code == 400
    assert sentence in response.text
    assert kept(client) == []


def test_the_longest_entry_is_kept_whole(client: FlaskClient) -> None:
    longest = "ß" * 200
    assert keep(client, f" {longest} ").status_code == 303
    assert kept(client) == [longest]


def test_an_entry_without_a_csrf_token_is_rejected(client: FlaskClient) -> None:
    response = client.post("/entries", data={"text": "Mallory's"})
    assert response.status_code == 400
    assert "CSRF token is missing" in response.text
    assert kept(client) == []


@pytest.mark.parametrize("mount", ["", "/a/b"])
def test_the_page_stays_inside_the_mount(client: FlaskClient, mount: str) -> None:
    base_url = f"http://localhost{mount}"
    assert keep(client, "bread", base_url=base_url).location == f"{mount}/entries"
    for page in ("/", "/entries"):
        text = client.get(page, base_url=base_url).text
        links = re.findall(r'(?:href|src|action)="([^"]*)"', text)
        assert f"{mount}/entries" in links
        assert all(link.startswith(f"{mount}/") for link in links)


def test_a_database_without_tables_is_503_with_the_command_that_makes_them(
    with_database: Callable[[str], Flask], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    client = with_database(url).test_client()
    response = client.get("/entries")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert MIGRATE in response.text
    assert "Traceback" not in response.text
    assert client.get("/").status_code == 200
    done = flask(url, "db", "upgrade")
    assert done.returncode == 0, done.stderr
    assert client.get("/entries").status_code == 200


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_that_does_not_respond_is_503_with_a_sentence(
    with_database: Callable[[str], Flask],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    (tmp_path / "file").touch()
    url = {
        "sqlite": f"sqlite:///{tmp_path}/file/entries.db",
        "postgresql": f"postgresql://app:hidden@127.0.0.1:{free_port()}/app",
    }[kind]
    response = with_database(url).test_client().get("/entries")
    assert response.status_code == 503
    assert "The database does not respond." in response.text
    (line,) = (record for record in caplog.records if "The database failed" in record.message)
    assert "\n" not in line.message
    assert "hidden" not in caplog.text


def test_the_migrations_make_the_tables_of_the_code(migrated: Path) -> None:
    done = flask(f"sqlite:///{migrated}", "db", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No new upgrade operations" in done.stdout


def test_without_a_database_the_app_does_not_load_sqlalchemy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, yourapplication; print('sqlalchemy' in sys.modules)"],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
    assert "DATABASE_URL" in create_app({"SQLALCHEMY_DATABASE_URI": ""}).test_client().get("/").text


def test_the_database_is_that_of_the_environment() -> None:
    assert database_url({}) == ""
    assert database_url({"DATABASE_URL": "postgres://a:b@db/c"}) == "postgresql://a:b@db/c"
    assert database_url({"DATABASE_URL": "sqlite:///entries.db"}) == "sqlite:///entries.db"
