"""Procfile: the kinds of process of a release, one a line, as ``worker: celery -A shop worker``.

The syntax is foreman's. PROCESSES says how many of each run.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.problems import Refusal

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
_SCALE = re.compile(r"([A-Za-z0-9_-]+)=([0-9]{1,3})")
# Lines with a meaning of their own: uWSGI serves MOUNTS, and the release step runs once.
_NOT_SCALED = {
    "web": "uWSGI serves MOUNTS instead",
    "release": "a rollout runs it once as the release step",
}


@dataclass(frozen=True)
class Process:
    """A process to run.

    Args:
        name: its kind and number, such as ``worker.1``.
        command: in the shell's syntax.
    """

    name: str
    command: str


def read(directory: Path) -> dict[str, str]:
    """The commands of the Procfile by name; empty if there is none.

    Raises:
        Refusal: it cannot be read, has a line that is no definition, or two of one name.
    """
    path = directory / "Procfile"
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read ({error}); it has to be a text file.") from None
    commands: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if not (match := _LINE.fullmatch(line)):
            raise Refusal(
                f"{path}, line {number}, is {line!r}; write a name, a colon and a command, as in"
                " worker: celery -A shop worker."
            )
        name, command = match.groups()
        if name in commands:
            raise Refusal(
                f"{path}, line {number}, defines {name!r} a second time; remove one of the two, and"
                f" write PROCESSES={name}=2 for two processes."
            )
        commands[name] = command
    return commands


def scale(processes: str, commands: Mapping[str, str], directory: Path) -> list[Process]:
    """The processes to run.

    Args:
        processes: the setting PROCESSES.
        commands: those of the Procfile.
        directory: where it is.

    Raises:
        Refusal: PROCESSES has an invalid value, or a name that the Procfile lacks.
    """
    scaled: dict[str, int] = {}
    for word in processes.split():
        if not (match := _SCALE.fullmatch(word)) or match[1] in scaled:
            raise Refusal(
                f"PROCESSES has {word!r}; write names of the Procfile, each once and with a number"
                " from 0 to 999, as in worker=2 clock=1."
            )
        name = match[1]
        if reason := _NOT_SCALED.get(name):
            raise Refusal(f"PROCESSES has {word!r}, but {reason}; remove it.")
        if name not in commands:
            known = ", ".join(_scalable(commands)) or "no such names"
            raise Refusal(
                f"PROCESSES has {word!r}, but the Procfile in {directory} has {known}; add a line"
                f" {name}: ..., or remove it from PROCESSES."
            )
        scaled[name] = int(match[2])
    return [
        Process(f"{name}.{number}", commands[name])
        for name, count in scaled.items()
        for number in range(1, count + 1)
    ]


def not_run(commands: Mapping[str, str], processes: str) -> Iterator[str]:
    """A sentence for each line of the Procfile that is not run.

    Args:
        commands: those of the Procfile.
        processes: the setting PROCESSES.
    """
    if "web" in commands:
        yield "The Procfile's web is ignored, since uWSGI serves MOUNTS; set MOUNTS to your app."
    scaled = {word.partition("=")[0] for word in processes.split()}
    if missing := [name for name in _scalable(commands) if name not in scaled]:
        setting = " ".join([*processes.split(), *(f"{name}=1" for name in missing)])
        yield (
            f"The Procfile has {', '.join(missing)}, not run since PROCESSES is {processes!r}; to"
            f" run one of each, write PROCESSES={setting}"
        )


def shell(command: str) -> list[str]:
    """The arguments that run a command of the Procfile.

    bash replaces itself by the last program of a command, so a signal reaches that.
    """
    return ["bash", "-c", command]


def _scalable(commands: Mapping[str, str]) -> list[str]:
    return [name for name in commands if name not in _NOT_SCALED]
