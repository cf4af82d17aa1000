"""State of the Procfile's processes, in files beside their locks: for the exporter of metrics."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class ProcessState:
    """A process of the Procfile.

    Args:
        name: such as ``worker.1``.
        up: whether it runs.
        ends: how often it has ended by itself.
    """

    name: str
    up: bool
    ends: int

    def write(self, directory: Path) -> None:
        """Write it, with the lock of the name held."""
        new = directory / f"{self.name}.new"
        new.write_text(json.dumps(asdict(self)))
        new.replace(directory / f"{self.name}.state")


def remove(name: str, directory: Path) -> None:
    """Remove the state of a process that was stopped."""
    (directory / f"{name}.state").unlink(missing_ok=True)


def prune(directory: Path, names: set[str]) -> None:
    """Remove the states of killed processes that the Procfile no longer has."""
    for state in read_all(directory):
        if state.name not in names and not _is_locked(directory / f"{state.name}.lock"):
            remove(state.name, directory)


def read_all(directory: Path) -> Iterator[ProcessState]:
    """The states, by name. Without a process that holds its lock, one is down: it was killed."""
    for path in sorted(directory.glob("*.state")):
        # It has just been removed, or is that of another release.
        with contextlib.suppress(OSError, ValueError, TypeError):
            state = ProcessState(**json.loads(path.read_text()))
            yield state if _is_locked(path.with_suffix(".lock")) else replace(state, up=False)


def _is_locked(path: Path) -> bool:
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
