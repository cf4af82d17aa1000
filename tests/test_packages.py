"""Debian packages of the app: APT_PACKAGES and APT_BUILD_PACKAGES."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import knobs
from tests.servers import PROJECT, ComposeSite


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of an ordinary user on a machine that has only `there` installed."""
    programs = {
        "dpkg-query": 'case $* in *" there") echo installed ;; *) exit 1 ;; esac',
        "id": "echo 1000",
        "sudo": "exit 1",
        "apt-get": "exit 1",
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": sys.executable}


def run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    options = {"cwd": PROJECT, "env": environment, "capture_output": True, "text": True}
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, **options)


def prerequisites(kind: str, machine: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("sh", "deploy/prerequisites.sh", kind, environment=machine)


def test_packages_that_this_machine_lacks_are_named_with_the_command(machine: dict) -> None:
    done = prerequisites("run", machine | {"APT_PACKAGES": "there missing1 missing2=1.0-1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "This machine lacks missing1 (APT_PACKAGES), missing2=1.0-1 (APT_PACKAGES)."
        " As root, type: sh deploy/prerequisites.sh run\n"
    )


@pytest.mark.parametrize("kind", ["run", "build"])
def test_build_packages_are_asked_for_before_a_start_and_before_a_build(
    machine: dict, kind: str
) -> None:
    done = prerequisites(kind, machine | {"APT_BUILD_PACKAGES": "there g++-none"})
    assert done.returncode == 1
    assert "lacks g++-none (APT_BUILD_PACKAGES). As root, type:" in done.stderr
    assert prerequisites(kind, machine | {"APT_BUILD_PACKAGES": "there"}).stderr == ""


def test_without_the_settings_nothing_is_asked(machine: dict, tmp_path: Path) -> None:
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\necho asked >&2\n")
    assert prerequisites("run", machine).stderr == ""


@pytest.mark.parametrize("name", ["APT_PACKAGES", "APT_BUILD_PACKAGES"])
@pytest.mark.parametrize("word", ["--force-yes", "nginx-", "a;b", "$(id)", "Ffmpeg", "../x.deb"])
def test_what_is_no_name_of_a_package_is_rejected(machine: dict, name: str, word: str) -> None:
    with pytest.raises(Refusal, match=f"{name} has .*; write names of Debian packages"):
        knobs.read({name: f"libmagic1 {word}"})
    done = prerequisites("run", machine | {name: word})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"deploy: {name} has {word!r}")


def test_check_and_a_start_name_a_package_that_is_missing(machine: dict) -> None:
    command = sys.executable, "-m", "deploy", "check", "--format", "json"
    done = run(*command, environment=machine | {"APT_PACKAGES": "there missing1"})
    (found,) = (f for f in json.loads(done.stdout)["findings"] if f["id"] == "E110")
    assert found["message"] == (
        "APT_PACKAGES has missing1, which this machine lacks; as root, type: apt-get update &&"
        " apt-get install missing1"
    )
    assert not found["blocking"], "it may have been installed in another way"


@pytest.mark.docker
def test_both_are_arguments_of_the_image_and_only_one_is_in_what_runs() -> None:
    site = ComposeSite(APT_PACKAGES="libmagic1 ffmpeg", APT_BUILD_PACKAGES="g++")
    try:
        config = json.loads(site.compose("config", "--format", "json").stdout)
    finally:
        site.clean_up()
    arguments = config["services"]["app"]["build"]["args"]
    assert arguments == {"APT_PACKAGES": "libmagic1 ffmpeg", "APT_BUILD_PACKAGES": "g++"}
    stages = (PROJECT / "Dockerfile").read_text().split("\nFROM ")
    installs = {
        name: [stage.split("\n")[0] for stage in stages if f"-- ${name};" in stage]
        for name in arguments
    }
    assert installs == {
        "APT_PACKAGES": ["python AS app"],
        "APT_BUILD_PACKAGES": ["python AS build"],
    }
