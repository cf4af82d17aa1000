"""The Procfile and PROCESSES, as they are read."""

from pathlib import Path

import pytest

from deploy.problems import Refusal
from deploy.settings import knobs, procfile
from deploy.settings.procfile import Process


def read(tmp_path: Path, text: str, **environ: str) -> knobs.Knobs:
    """The settings with this Procfile."""
    (tmp_path / "Procfile").write_text(text)
    return knobs.read(environ, tmp_path)


def test_without_a_procfile_nothing_runs_besides_the_web(tmp_path: Path) -> None:
    found = knobs.read({}, tmp_path)
    assert (found.procfile, found.processes) == ({}, [])


def test_names_and_commands_are_read_as_foreman_does(tmp_path: Path) -> None:
    text = "# ours\n\nworker: celery -A shop worker: a\r\n  Mail-2_x:   exec python -m mail\n"
    found = read(tmp_path, text, PROCESSES="Mail-2_x=2 worker=1")
    assert found.processes == [
        Process("Mail-2_x.1", "exec python -m mail"),
        Process("Mail-2_x.2", "exec python -m mail"),
        Process("worker.1", "celery -A shop worker: a"),
    ]


def test_a_line_runs_only_if_processes_names_it(tmp_path: Path) -> None:
    found = read(tmp_path, "worker: a\nclock: b\n", PROCESSES="worker=0")
    assert found.processes == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("worker celery\n", "line 1, is 'worker celery'; write a name, a colon and a command"),
        ("a: b\n\nworker:\n", "line 3, is 'worker:'; write"),
        ("my worker: x\n", "line 1, is 'my worker: x'; write"),
        ("worker: a\nworker: b\n", "line 2, defines 'worker' a second time; remove one"),
        ("worker: caf\udce9\n", "cannot be read"),
    ],
)
def test_a_line_that_defines_nothing_is_rejected(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "Procfile").write_text(text, errors="surrogateescape")
    with pytest.raises(Refusal) as caught:
        knobs.read({}, tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / "Procfile") in str(caught.value)


@pytest.mark.parametrize(
    ("processes", "says"),
    [
        ("worker", "PROCESSES has 'worker'; write names of the Procfile"),
        ("worker=-1", "PROCESSES has 'worker=-1'; write"),
        ("worker=two", "PROCESSES has 'worker=two'; write"),
        ("worker=1,clock=1", "PROCESSES has 'worker=1,clock=1'; write"),
        ("worker=1 worker=2", "PROCESSES has 'worker=2'; write names of the Procfile, each once"),
        ("wroker=1", "the Procfile in {} has worker, clock; add a line wroker: ..., or remove it"),
        ("web=1", "PROCESSES has 'web=1', but uWSGI serves MOUNTS instead; remove it"),
        ("release=1", "a rollout runs it once as the release step; remove it"),
    ],
)
def test_an_invalid_number_of_processes_is_rejected(
    tmp_path: Path, processes: str, says: str
) -> None:
    with pytest.raises(Refusal) as caught:
        read(tmp_path, "web: a\nworker: b\nclock: c\nrelease: d\n", PROCESSES=processes)
    assert says.format(tmp_path) in str(caught.value)


def test_processes_without_a_procfile_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"but the Procfile in .* has no such names; add a line"):
        knobs.read({"PROCESSES": "worker=1"}, tmp_path)


def test_two_release_steps_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"RELEASE_COMMAND is 'b', and the Procfile has a release"):
        read(tmp_path, "release: a\n", RELEASE_COMMAND="b")


def test_lines_that_are_not_run_are_named_with_what_to_write() -> None:
    commands = {"web": "a", "worker": "b", "release": "c", "clock": "d"}
    assert list(procfile.not_run(commands, "worker=2")) == [
        "The Procfile's web is ignored, since uWSGI serves MOUNTS; set MOUNTS to your app.",
        "The Procfile has clock, not run since PROCESSES is 'worker=2'; to run one of each, write"
        " PROCESSES=worker=2 clock=1",
    ]
    assert list(procfile.not_run({"worker": "b"}, "worker=0")) == []
