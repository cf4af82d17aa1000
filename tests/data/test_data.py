"""What an app keeps in DATA_DIR is there after rollouts, restarts and a restored backup."""

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import knobs
from tests.rollout.conftest import remove
from tests.servers import PROJECT, ComposeSite, HostSite, Serve, Site, until

APP = Path(__file__).with_name("entries.py")
DOCUMENT = (PROJECT / "docs" / "data.md").read_text()


def entries(site: Site, method: str = "GET") -> int:
    response = site.ask("/x/entries", method=method, body=b"x" if method == "POST" else b"")
    assert response.status == 200, site.logs()
    return int(response.text)


def commands(heading: str) -> list[str]:
    """What docs/data.md says to type below a heading."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [
        line
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S)
        if not language
        for line in block.splitlines()
    ]


def type_in(site: Site, *lines: str) -> None:
    for line in lines:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=site.folder,
            env=site.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}\n{site.logs()}"


@pytest.fixture(scope="module")
def unserved() -> Iterator[HostSite]:
    """A copy of the bundle, on a machine without an engine."""
    site = HostSite(DOCKER_HOST="unix:///nowhere")
    yield site
    site.clean_up()


@contextmanager
def writing(site: Site) -> Iterator[list[int]]:
    """Add entries, one after the other, meanwhile; their numbers."""
    seen: list[int] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            response = site.ask("/x/entries", method="POST", body=b"x")
            seen.append(int(response.text) if response.status == 200 else -response.status)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_data_in_the_volume_outlives_containers_and_can_be_restored() -> None:
    site = ComposeSite(
        files=[APP],
        env_file="MOUNTS=/x=entries:app\nWORKERS=2\nTHREADS=2\nDATA_DIR=/srv/of-the-host\n",
    )
    try:
        site.start()
        assert site.ask("/x/places").json() == {
            "DATA_DIR": "/app/instance",
            "instance": "/app/instance",
            "installed": "/venv/var/flask-instance",
            "cache": "/app/instance",
        }
        with writing(site) as seen:
            until(lambda: len(seen) > 3, "entries", 60)
            type_in(site, shlex.join([sys.executable, "-m", "deploy", "rollout"]))
        # SQLite in WAL mode, written by two releases at once for a while.
        assert seen == list(range(1, len(seen) + 1)), site.logs()

        type_in(site, "docker compose down", "docker compose up --detach --wait")
        assert entries(site) == len(seen)

        type_in(site, *commands("Backup of files"))
        kept = entries(site, "POST")
        assert kept == len(seen) + 1
        (site.folder / "instance").mkdir()
        (site.folder / "instance" / "config.py").write_text("GREETING = 'hello'\n")
        type_in(site, *commands("A configuration in the instance folder"))
        listed = "docker compose exec -T app ls /app/instance | sort >listed"
        type_in(site, listed, *commands("Restore of files"))
        assert "config.py" in (site.folder / "listed").read_text().split()
        until(lambda: site.ask("/x/entries").status == 200, "the app again", 60)
        assert entries(site) == len(seen)
        type_in(site, listed)
        there = (site.folder / "listed").read_text().split()
        assert {"shop.db", "shop.backup"} <= set(there)
        assert "config.py" not in there, "it came after the backup"
    finally:
        remove(site)


def test_data_is_in_the_instance_directory_on_this_machine(serve: Serve) -> None:
    site = serve("host", files=[APP], MOUNTS="/x=entries:app", WORKERS=2, THREADS=2)
    directory = str(site.folder / "instance")
    seen = site.ask("/x/places").json()
    assert (seen["DATA_DIR"], seen["instance"]) == (directory, directory)
    assert entries(site, "POST") == 1
    database = site.folder / "instance" / "shop.db"
    backup, restore = "tar -C instance -cz . >backup.tar.gz", "tar -C instance -xzf backup.tar.gz"
    assert f"`{backup}`" in DOCUMENT
    assert f"`{restore}`" in DOCUMENT
    before = database.read_bytes()
    type_in(site, backup)
    database.unlink()
    type_in(site, restore)
    assert database.read_bytes() == before
    ignored = ["git", "-C", PROJECT, "check-ignore", "--quiet", "instance/shop.db"]
    assert subprocess.run(ignored, check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("data", "is relative"),
        ("./instance", "is relative"),
        ("~/data", "is relative"),
        ("{project}", "is in the checkout"),
        ("{project}/uploads", "is in the checkout"),
        ("{project}/yourapplication/static/uploads", "is in the checkout"),
        ("{project}/..", "is in the checkout"),
        ("{project}/instance/../uploads", "is in the checkout"),
        ("/", "is in the checkout"),
        ("{project}/.run", "is in RUN_DIR"),
        ("{project}/.run/data", "is in RUN_DIR"),
    ],
)
def test_a_directory_that_is_no_place_for_data_is_rejected(
    tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(Refusal) as caught:
        knobs.read({"DATA_DIR": path.format(project=tmp_path)}, tmp_path)
    assert str(caught.value).startswith("DATA_DIR is '")
    assert reason in str(caught.value)
    assert "write an absolute path outside the checkout" in str(caught.value)


def test_a_directory_elsewhere_is_taken(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    found = knobs.read({"DATA_DIR": f"{tmp_path}/data"}, tmp_path / "checkout")
    assert found.data_dir == tmp_path / "data"
    assert found.environment["DATA_DIR"] == f"{tmp_path}/data"


@pytest.mark.parametrize("command", ["serve", "app", "local", "dev", "check"])
def test_a_directory_that_cannot_be_written_is_rejected(
    unserved: HostSite, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "deploy", command],
        cwd=unserved.folder,
        env=unserved.environment | {"DATA_DIR": f"{tmp_path}/file/data"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert f"DATA_DIR is '{tmp_path}/file/data', which cannot be written" in said


@pytest.mark.docker
def test_a_container_says_when_there_is_no_place_for_data(shared_site: Serve) -> None:
    image = f"{shared_site('compose', WORKERS=4, THREADS=4).name}-app"
    run = ["docker", "run", "--rm", "--read-only", "--tmpfs=/tmp"]
    volume = "--tmpfs=/app/instance:uid=10002,mode=700"
    done = subprocess.run(
        [*run, volume, image], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "DATA_DIR is '/app/instance', which cannot be written" in done.stderr
    assert "mount a volume there" in done.stderr

    # The default, and a full one, block no start.
    for option, kind, part in (
        ("--tmpfs=/run", "E081", "which cannot be written"),
        ("--tmpfs=/app/instance:size=20m,uid=10001", "W082", "20 MB are free"),
    ):
        done = subprocess.run(
            [*run, option, image, "python", "-m", "deploy", "findings"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        (about_it,) = (each for each in found if "DATA_DIR is" in each.get("message", ""))
        assert about_it["id"] == kind
        assert part in about_it["message"]
