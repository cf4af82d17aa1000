"""Usage of processes: CPU time, context switches, memory."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

CPUS = psutil.cpu_count()
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\t(\d+)$", re.MULTILINE)


def tree(root: int) -> list[psutil.Process]:
    """A process and its descendants, as far as they are alive."""
    try:
        parent = psutil.Process(root)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu(processes: Iterable[int]) -> dict[int, int]:
    """Nanoseconds of CPU time of each process, ended threads included."""
    taken = {}
    for process in processes:
        try:
            taken[process] = time.clock_gettime_ns(_cpu_clock(process))
        except OSError:  # it has ended
            continue
    return taken


def switches(processes: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Context switches of all threads of each process: voluntary and involuntary.

    A thread that waits is switched voluntarily, so these are also its wake-ups.
    """
    taken = {}
    for process in processes:
        voluntary = involuntary = 0
        for status in Path(f"/proc/{process}/task").glob("*/status"):
            try:
                waited, preempted = map(int, _SWITCHES.findall(status.read_text()))
            except (OSError, ValueError):  # it has ended
                continue
            voluntary += waited
            involuntary += preempted
        taken[process] = voluntary, involuntary
    return taken


def memory(processes: Iterable[int]) -> int:
    """Bytes of memory of all processes; shared memory is counted once (PSS)."""
    return sum(_pss(process) for process in processes)


def busy() -> float:
    """Seconds of CPU time of all processes of the machine, and of what its host withheld."""
    times = psutil.cpu_times()
    return sum(times[:8]) - times.idle - times.iowait


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
