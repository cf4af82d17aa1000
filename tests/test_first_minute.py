"""The first minute: a fresh Debian with Python, make and a compiler, and one command."""

import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(900)]

# What a developer's machine has, and no more; ca-certificates is what pip trusts the index by.
MACHINE = """\
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS without-compiler
RUN apt-get update && apt-get install --yes --no-install-recommends \\
    ca-certificates git make python3 python3-dev python3-venv
RUN useradd --create-home developer

FROM without-compiler AS fresh
RUN apt-get install --yes --no-install-recommends gcc patch
"""

# Ask the address once, from within the machine, and show the status.
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).status)"


def docker(*arguments: str, **options) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "check": True, "timeout": 600} | options
    return subprocess.run(["docker", *arguments], **options)


@pytest.fixture(scope="module")
def image() -> str:
    """Debian 12 where it is at hand, else the release that the images are built from."""
    oldest = "debian:bookworm-slim"
    if docker("image", "inspect", oldest, check=False).returncode == 0:
        return oldest
    return re.search(r"^ARG DEBIAN_IMAGE=(\S+)", (PROJECT / "Dockerfile").read_text(), re.M)[1]


@pytest.fixture
def machine(image: str) -> Iterator[Callable[[str], str]]:
    """Switch on a machine that has the bundle in /home/developer/bundle; returns its name."""
    name = f"first-minute-{uuid.uuid4().hex[:8]}"

    def switch_on(stage: str) -> str:
        built = docker(
            *("build", "--quiet", "--target", stage, "--build-arg", f"DEBIAN_IMAGE={image}", "-"),
            input=MACHINE,
        )
        docker("run", "--detach", "--init", "--name", name, built.stdout.strip(), "sleep", "1h")
        # What a clone would have, together with what is not yet committed.
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.split(b"\0")
        packed = subprocess.run(
            ["tar", "--create", "--null", "--files-from=-", "--owner=1000", "--group=1000"],
            cwd=PROJECT,
            input=b"\0".join(f for f in files if f and Path(PROJECT, os.fsdecode(f)).exists()),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        folder = "install --directory --owner=1000 --group=1000 /home/developer/bundle"
        docker("exec", name, *folder.split())
        docker(
            *("exec", "--interactive", name, "tar", "-x", "-C", "/home/developer/bundle"),
            input=packed,
            text=False,
        )
        return name

    yield switch_on
    docker("rm", "--force", "--volumes", name, check=False)


def make_serve(name: str, *options: str) -> list[str]:
    return ["exec", *options, "--workdir", "/home/developer/bundle", name, "make", "serve"]


def test_make_serve_on_a_fresh_machine_prints_an_address_that_answers(machine: Callable) -> None:
    name = machine("fresh")
    begun = time.monotonic()
    with subprocess.Popen(
        ["docker", *make_serve(name)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as served:
        said = []
        for line in served.stdout:
            said.append(line)
            if line.startswith("Serving"):
                break
        else:
            pytest.fail(f"it ended:\n{''.join(said)}")
        seconds = time.monotonic() - begun
        address = line.split()[-1]
        assert address == "http://localhost:8080/path/"
        response = docker("exec", name, "python3", "-c", ASK, address)
        assert response.stdout.strip() == "200"
        print(f"make serve took {seconds:.0f} s on a fresh machine")
        docker("kill", name)  # and with it all that runs there


def test_without_a_compiler_make_serve_says_what_to_install(machine: Callable) -> None:
    name = machine("without-compiler")
    done = docker(*make_serve(name), check=False)
    assert done.returncode != 0
    # nginx was installed before: of that, apt may have said something.
    *_, sentence, make = done.stderr.splitlines()
    assert make.startswith("make: ***"), done.stderr
    assert re.match(r"This machine lacks a C compiler \(.*\), patch\.", sentence)
    assert "apt-get install gcc" in sentence
    assert "Serving" not in done.stdout


def test_without_nginx_and_without_rights_make_serve_says_what_to_type(machine: Callable) -> None:
    name = machine("fresh")
    done = docker(*make_serve(name, "--user", "developer"), check=False)
    assert done.returncode != 0
    sentence, *rest = done.stderr.splitlines()
    assert sentence.startswith("This machine lacks nginx, envsubst.")
    assert "As root, type: sh deploy/prerequisites.sh run" in sentence
    assert all(line.startswith("make: ***") for line in rest), done.stderr

    # What it says is enough.
    installed = docker(
        *("exec", "--workdir", "/home/developer/bundle", name),
        *("sh", "deploy/prerequisites.sh", "run"),
    )
    assert installed.returncode == 0
    checked = docker(
        *("exec", "--user", "developer", "--workdir", "/home/developer/bundle", name),
        *("sh", "deploy/prerequisites.sh", "run"),
    )
    assert checked.stderr == ""
