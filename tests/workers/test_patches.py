"""uWSGI is built from locked source and tools, with this bundle's patches (`deploy/patches`)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import PROJECT, until

ECHO = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]
"""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A copy of what builds uWSGI, to change."""
    for name in ("install", "patches", "requirements"):
        shutil.copytree(PROJECT / "deploy" / name, tmp_path / name)
    return tmp_path


def run(build: Path) -> subprocess.CompletedProcess:
    """Build as `make` does. What is changed here fails before it is installed."""
    locks = "requirements/bundle.txt", "requirements/build.txt"
    command = [sys.executable, "install/uwsgi.py", *locks, "wheels"]
    return subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("file", "package"),
    [("bundle.txt", "uwsgi"), ("build.txt", "setuptools")],
)
def test_neither_uwsgi_nor_what_builds_it_is_taken_with_another_hash(
    build: Path, file: str, package: str
) -> None:
    path = build / "requirements" / file
    before, name, after = path.read_text().partition(f"\n{package}==")
    block, rest = re.match(r"((?:.*\\\n)*.*\n)(.*)", after, re.DOTALL).groups()
    block = re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", block)
    path.write_text(before + name + block + rest)
    done = run(build)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_a_patch_that_does_not_fit_exactly_stops_the_build(build: Path) -> None:
    patch = next((build / "patches").glob("*.patch"))
    text = re.sub(r"^ \t", " \tx", patch.read_text(), flags=re.MULTILINE)
    patch.write_text(text)
    assert run(build).returncode != 0


@pytest.mark.parametrize("patch", sorted((PROJECT / "deploy" / "patches").glob("*.patch")))
def test_each_patch_names_the_test_that_shows_what_it_is_for(patch: Path) -> None:
    header, *_ = patch.read_text().partition("\n--- ")
    (named,) = re.findall(r"^Test: (.+)$", header, re.MULTILINE)
    (path,) = re.findall(r"tests/[\w/.]+\w", named)
    assert (PROJECT / path).exists()


def test_a_mount_with_a_slash_at_its_end_is_that_without(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    options = "--http-socket x.sock --manage-script-name --mount /path/=echo:app --die-on-term"
    uwsgi = Path(sys.executable).with_name("uwsgi")
    with subprocess.Popen(
        [uwsgi, *options.split()],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(tmp_path)},
    ) as server:
        try:
            until((tmp_path / "x.sock").exists, "the socket")
            transport = httpx.HTTPTransport(uds=str(tmp_path / "x.sock"))
            with httpx.Client(transport=transport, base_url="http://x", timeout=60) as client:
                for path in ("", "/", "/a"):
                    assert client.get(f"/path{path}").text == repr(["/path", path])
        finally:
            server.terminate()
