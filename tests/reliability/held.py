"""An interpreter that is held in every worker at once: rows of docs/reliability.md."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.servers import Response, Site, until
from tests.workers.lab import APPS

WORKERS, THREADS = 2, 2
REQUEST_TIMEOUT = 2
# What holds it, by the query of the view in `tests/workers/apps/lab.py`.
HOLDERS = {"c": "C code", "regex": "a regular expression"}
SITE = {
    "files": (APPS / "lab.py",),
    "MOUNTS": "/path=lab:app",
    "WORKERS": WORKERS,
    "THREADS": THREADS,
    "REQUEST_TIMEOUT": REQUEST_TIMEOUT,
}


@dataclass(frozen=True)
class Held:
    """What happened.

    Args:
        statuses: of the requests in all threads of all workers.
        stacks: how many stack traces in the log show what holds the interpreter.
        pause: seconds from the requests until the site responds again.
    """

    statuses: list[int]
    stacks: int
    pause: float


def measure(site: Site, holder: str) -> Held:
    """Hold the interpreter of every worker, and see what happens."""
    before = _stacks(site)
    threads = WORKERS * THREADS  # with a request in each, every worker has one
    with ThreadPoolExecutor(threads) as clients:

        def at_once(path: str) -> list[Response]:
            return list(clients.map(site.ask, [path] * threads))

        def all_serve() -> bool:
            responses = at_once("/path/wait?seconds=0.5")
            return len({r.text for r in responses if r.status == 200}) == WORKERS

        until(all_serve, "every worker")
        began = time.monotonic()
        statuses = [response.status for response in at_once(f"/path/hold?by={holder}")]
    until(lambda: site.ask("/path/").status == 200, "a response")
    pause = time.monotonic() - began
    until(lambda: _stacks(site) >= before + WORKERS, "a stack trace of each worker")
    return Held(statuses, _stacks(site) - before, pause)


def _stacks(site: Site) -> int:
    return len(re.findall(r"lab\.py., line \d+ in hold", site.logs("app")))
