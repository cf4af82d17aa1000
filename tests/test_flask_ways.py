"""Flask's own ways to run the same app, and the two ways of this bundle without nginx."""

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import FOREIGN_APPS, PROJECT, HostSite, Serve, until
from yourapplication import app, create_app


class FlaskRun(HostSite):
    """The project served by `flask run --debug`, and by nothing of this bundle."""

    def command(self) -> list[str]:
        """The command that people type, as the reloader needs it."""
        flask = [sys.executable, "-m", "flask", "--app", "yourapplication"]
        return [*flask, "run", "--debug", "--port", str(self.port)]


@pytest.fixture
def flask_run() -> Iterator[HostSite]:
    with FlaskRun() as running:
        yield running


def test_flask_routes_lists_the_pages() -> None:
    command = [sys.executable, "-m", "flask", "--app", "yourapplication", "routes"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    assert "pages.welcome" in listed.stdout
    assert "/archive/<path:folder>/<int:year>" in listed.stdout


def test_flask_run_serves_the_app_and_debugs_it(flask_run: HostSite) -> None:
    assert "Your app works" in flask_run.ask("/").text
    assert "Werkzeug Debugger" in flask_run.ask("/boom").text


@pytest.mark.parametrize("made", [app, create_app()], ids=["app", "create_app"])
def test_the_test_client_needs_no_server(made) -> None:
    assert made.test_client().get("/inspect").json["script_root"] == ""


# --- make dev, make local ---


OUTSIDE = ("/", "/static/style.css", "/pathology", "/PATH/")


def test_dev_serves_at_the_mounts_and_nowhere_else(serve: Serve) -> None:
    mounts = "/path=yourapplication:app /plain=plain:application /path/b=yourapplication:app"
    site = serve("host", command="dev", MOUNTS=mounts, files=[FOREIGN_APPS / "plain.py"])
    seen = site.ask("/path/inspect?x=1").json()
    assert (seen["script_root"], seen["path"]) == ("/path", "/inspect")
    assert site.ask("/path/b/inspect").json()["script_root"] == "/path/b"
    assert site.ask("/path/static/style.css").status == 200
    assert site.ask("/plain/").status == 200, "an app without Flask"
    redirect = site.ask("/path?x=1")
    assert (redirect.status, redirect.headers["Location"]) == (308, "/path/?x=1")
    assert [site.ask(path).status for path in OUTSIDE] == [404] * len(OUTSIDE)
    assert "MOUNTS has /path/ and /plain/ and /path/b/." in site.ask("/").text


def test_dev_serves_an_app_at_the_root(serve: Serve) -> None:
    site = serve("host", command="dev", MOUNTS="/=yourapplication:app")
    assert "Your app works" in site.ask("/").text
    assert site.ask("/static/style.css").status == 200


def test_dev_has_the_debugger_and_the_reloader_and_survives_a_broken_file(
    serve: Serve, tmp_path: Path
) -> None:
    text = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef page(): return %r\n"
    (tmp_path / "changing.py").write_text(text % "first")
    files = [tmp_path / "changing.py"]
    site = serve("host", command="dev", files=files, MOUNTS="/path=changing:app")
    assert site.ask("/path/").text == "first"

    def becomes(content: str, seen: str) -> None:
        (site.folder / "changing.py").write_text(content)
        until(lambda: responds_with(site, "/path/", seen), f"a response with {seen!r}")

    becomes("1 / 0\n", "ZeroDivisionError")
    assert "Werkzeug Debugger" in site.ask("/path/").text
    becomes(text % "second", "second")


def responds_with(site: HostSite, path: str, text: str) -> bool:
    try:
        return text in site.ask(path).text
    except (OSError, http.client.HTTPException):
        return False  # it is being started again


def test_local_serves_at_the_mount_and_nowhere_else(serve: Serve) -> None:
    mounts = "/path=yourapplication:app /plain=plain:application"
    site = serve("host", command="local", MOUNTS=mounts, files=[FOREIGN_APPS / "plain.py"])
    seen = site.ask("/path/inspect?x=1").json()
    assert (seen["script_root"], seen["path"]) == ("/path", "/inspect")
    assert seen["external_url"] == f"{site.url}/path/"
    assert site.ask("/path/static/style.css").status == 200
    assert [site.ask(path).status for path in OUTSIDE] == [404] * len(OUTSIDE)
    assert "MOUNTS has /path/ and /plain/." in site.ask("/").text
    assert "LookupError: nothing here catches this" in site.ask("/plain/raise").text


@pytest.mark.parametrize("command", ["dev", "local"])
def test_ctrl_c_ends_it_with_nothing_left(serve: Serve, command: str) -> None:
    site = serve("host", command=command)
    processes = site.processes()
    site.signal(signal.SIGINT)
    gone, left = psutil.wait_procs(processes, timeout=60)
    assert not left, site.logs()
    assert len(gone) > 1
