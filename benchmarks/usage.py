"""What processes take: CPU time and memory; and what the rest of the machine did meanwhile."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

CPUS = psutil.cpu_count()


def tree(root: int) -> list[psutil.Process]:
    """A process and all that descend from it, those that run."""
    try:
        parent = psutil.Process(root)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu(processes: Iterable[int]) -> dict[int, int]:
    """Nanoseconds of CPU that each process has taken so far, threads that ended included."""
    taken = {}
    for process in processes:
        try:
            taken[process] = time.clock_gettime_ns(_cpu_clock(process))
        except OSError:  # it has ended
            continue
    return taken


def memory(processes: Iterable[int]) -> int:
    """Bytes of memory in all of them: what they share is counted once (PSS)."""
    return sum(_pss(process) for process in processes)


def _pss(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    line = next((line for line in lines if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def _cpu_clock(process: int) -> int:
    # clock_getcpuclockid(3), which Python does not have: CPUCLOCK_SCHED of the whole process.
    return (~process << 3) | 2


@dataclass(frozen=True)
class Machine:
    """CPU time of all CPUs together, in seconds since the machine started.

    Args:
        busy: spent by processes of this machine.
        stolen: kept from it by its host.
        at: when it was looked at, in seconds.
    """

    busy: float
    stolen: float
    at: float

    @classmethod
    def now(cls) -> "Machine":
        """As it is now."""
        times = psutil.cpu_times()
        idle = times.idle + times.iowait
        return cls(sum(times[:8]) - idle - times.steal, times.steal, time.monotonic())
