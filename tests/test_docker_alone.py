"""Docker alone is enough: docs/docker.md, with nothing in PATH but docker and sh."""

import shutil
from pathlib import Path

import pytest

from tests.servers import PROJECT, ComposeSite

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

APP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def page() -> str:
    return "served"


@app.cli.command()
def hello() -> None:
    print("hello from", __name__)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with docker and sh in it."""
    for program in ("docker", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program))
    return str(tmp_path)


def test_an_app_is_built_and_served_and_its_commands_run(path: str, tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(APP)
    files, mounts = [tmp_path / "alone.py"], "/path=alone:app"
    site = ComposeSite(files=files, MOUNTS=mounts, WORKERS=1, PATH=path)
    command = ["flask", "--app", "alone", "hello"]
    try:
        site.start()
        assert site.ask("/path/").text == "served"
        ran = site.compose("run", "--rm", "--no-deps", "-T", "app", *command)
        assert ran.stdout == "hello from alone\n"
        assert site.compose("exec", "-T", "app", *command).stdout == "hello from alone\n"
        shell = site.compose("exec", "-T", "app", "bash", "-c", "id -u; pwd; echo $DATA_DIR")
        assert shell.stdout.split() == ["10001", "/app", "/app/instance"]
    finally:
        site.clean_up()


def test_requirements_are_locked_in_an_image_of_its_own() -> None:
    services = (PROJECT / "deploy" / "compose" / "services.yml").read_text()
    assert "  lock:\n    profiles: [lock]\n" in services, "it does not start with the others"
    _, stage = (PROJECT / "Dockerfile").read_text().split("\nFROM python AS lock\n")
    assert "COPY deploy deploy\n" in stage.partition("\n# --- ")[0]
    assert "FROM lock" not in stage
