"""``python -m benchmarks.overload``: more requests than the threads can serve, for minutes."""

import argparse
import asyncio
import gc
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import endpoints, machine, usage
from benchmarks.crowd import Crowd, Try, percentile
from benchmarks.places import OnHost
from benchmarks.stacks import (
    Granian,
    Gunicorn,
    Ours,
    Scale,
    Stack,
    UsualRecipe,
    many_open_files,
)
from deploy.server import health
from tests.servers import PROJECT, NotServedError

SCALE = Scale(workers=2, threads=16)
THREADS = SCALE.workers * SCALE.threads
# Clients for each request a second that the threads can serve.
TIMES = 10
# Seconds: of each measurement of the capacity; that a client waits before it comes again; that
# figures "throughout" are taken over; and after which the site should be as before.
CAPACITY, PAUSE, WINDOW, RECOVERY = 8, 1.0, 5, 10
_SOON = 0.1
_REJECTED = re.compile(rb'(?:"status":50[23],.*"seconds":| 50[23] )([0-9.]+)')


class OursTwice(Ours):
    """This bundle with a second mount, which the same workers serve."""

    name = "ours"
    target = "measured:app /other=measured:app"


STACKS: tuple[type[Stack], ...] = (OursTwice, UsualRecipe, Gunicorn, Granian)


@dataclass
class Outcome:
    """What one server did under one load.

    Args:
        stack: its name.
        clients: how many there were.
        method: of their requests.
        page: seconds that the app sleeps in each.
        timeout: seconds after which nginx sends a 504.
        before: 200s a second that the threads serve without overload.
        after: the same, ten seconds after the load has gone.
        seconds: for each second of the load, how many responses there were of each status.
        lowest: the fewest 200s a second in any five seconds of the load.
        mean: 200s a second.
        p99: seconds of 200s.
        statuses: of all responses; 0 is none.
        told: milliseconds until a 503 or 502: half of them, 99 of 100 and the slowest.
        soon: the share of those that came within 100 ms.
        logged: the same share by nginx's log, which does not depend on how busy the clients are.
        cpu: how many CPUs its nginx and its app took.
        retry: the share of those that say when to come again.
        beside: what else was asked for: requests, share of 200s, and seconds of 99 of 100.
        recovery: seconds after the load until a request took as long as before.
        posts: what became of POSTs: see `_posts`.
        lag: milliseconds that the clients' own clock was late, 99 of 100.
    """

    stack: str
    clients: int
    method: str
    page: float
    timeout: int
    before: float = 0
    after: float = 0
    seconds: list[dict[int, int]] = field(default_factory=list)
    lowest: float = 0
    mean: float = 0
    p99: float = 0
    statuses: dict[int, int] = field(default_factory=dict)
    told: tuple[float, float, float] = (0, 0, 0)
    soon: float = 0
    logged: float | None = None
    cpu: dict[str, float] = field(default_factory=dict)
    retry: float = 0
    beside: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    recovery: float = 0
    posts: dict[str, int] = field(default_factory=dict)
    lag: float = 0


def main() -> int:
    """Measure, and write the results and the report into a folder."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments.output.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    place = OnHost()
    run = machine.run() | machine.describe(place)
    with many_open_files(), place, tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        os.environ["NOTES"] = str(notes)
        for clients in arguments.clients:
            for method in arguments.methods:
                for kind in _named(arguments.stacks):
                    page = arguments.page or TIMES * THREADS / clients
                    outcome = Outcome(kind.name, clients, method, page, arguments.timeout)
                    print(f"{kind.name}: {clients} clients, {method}", file=sys.stderr, flush=True)
                    notes.write_text("")
                    try:
                        with kind(SCALE, place, arguments.timeout) as stack:
                            asyncio.run(_measure(stack, outcome, arguments.seconds, notes))
                    except NotServedError as error:
                        print(error, file=sys.stderr)
                        continue
                    outcomes.append(outcome)
                    _write(outcomes, run, arguments.output)
                    gc.collect()
    print((arguments.output / "overload.md").read_text())
    return 0


async def _measure(stack: Stack, outcome: Outcome, seconds: int, notes: Path) -> None:
    slow = f"{stack.mount}/slow?seconds={outcome.page}&number={{number}}"
    outcome.before = await _capacity(stack, slow, outcome)

    crowd = Crowd(stack.port, slow, outcome.method, PAUSE, patience=2 * outcome.timeout)
    with _beside(stack) as others:
        asks = asyncio.create_task(_healthchecks(stack, others))
        lag: list[float] = []
        late = asyncio.create_task(_lag(lag))
        stack.forget_logs()
        parts = stack.processes()
        taken = {part: usage.cpu(pids) for part, pids in parts.items()}
        began = time.monotonic()
        crowd.come(outcome.clients, within=PAUSE)
        await asyncio.sleep(seconds)
        crowd.leave()
        ended = time.monotonic()
        outcome.cpu = {
            part: sum(now - taken[part][pid] for pid, now in usage.cpu(pids).items())
            / (ended - began)
            / 1e9
            for part, pids in parts.items()
        }
        outcome.logged = _logged(stack)
        outcome.beside = {
            name: (len(tries), _share(tries, {200}), percentile(_served(tries), 0.99))
            for name, tries in ((name, other()) for name, other in others.items())
        }
        asks.cancel()
        late.cancel()
    outcome.lag = 1000 * percentile(lag, 0.99)

    # One client, which comes again and again, until it is served as if nothing had been.
    single = Crowd(stack.port, slow, patience=2 * outcome.timeout)
    single.come(1, within=0)
    while time.monotonic() - ended < RECOVERY:
        await asyncio.sleep(0.1)
    single.leave()
    as_before = (
        t.began for t in single.tries if t.status == 200 and t.seconds < 1.5 * outcome.page
    )
    outcome.recovery = next(as_before, float("inf")) - ended
    outcome.after = await _capacity(stack, slow, outcome)
    _figures(outcome, crowd.tries, began, seconds)
    if outcome.method == "POST":
        outcome.posts = _posts(crowd.tries, notes)


async def _capacity(stack: Stack, path: str, outcome: Outcome) -> float:
    """200s a second when each thread has one client."""
    crowd = Crowd(stack.port, path, outcome.method, patience=2 * outcome.timeout)
    crowd.come(THREADS, within=outcome.page)
    await asyncio.sleep(2 * outcome.page)
    began = time.monotonic()
    seconds = max(CAPACITY, 5 * outcome.page)
    await asyncio.sleep(seconds)
    crowd.leave()
    return sum(t.status == 200 and t.ended > began for t in crowd.tries) / seconds


@contextmanager
def _beside(stack: Stack) -> Iterator[dict[str, Callable[[], list[Try]]]]:
    """Other requests meanwhile, of two clients each: what there was to be seen by name."""
    paths = {
        "cheap request": f"{stack.mount}/tiny",
        "static file": f"{stack.mount}{endpoints.STATIC.path}",
    }
    if isinstance(stack, Ours):
        paths["second mount"] = "/other/tiny"
        paths["cached response"] = f"{stack.mount}{endpoints.CACHEABLE.path}"
    crowds = {}
    for name, path in paths.items():
        crowds[name] = Crowd(stack.port, path, pause=0.2)
        crowds[name].come(2, within=0.2)
    try:
        yield {name: lambda crowd=crowd: crowd.tries for name, crowd in crowds.items()}
    finally:
        for crowd in crowds.values():
            crowd.leave()


async def _healthchecks(stack: Stack, others: dict[str, Callable[[], list[Try]]]) -> None:
    """What a container's healthcheck would find, for a bundle that has one."""
    if not isinstance(stack, Ours):
        return
    tries: list[Try] = []
    others["healthcheck"] = lambda: tries
    path = stack.sockets / "app-1.health"
    while True:
        began = time.monotonic()
        try:
            status = await asyncio.to_thread(health.ask, path, f"{stack.mount}/tiny")
        except (OSError, ValueError, IndexError):
            status = 0
        tries.append(Try(0, began, time.monotonic(), status, retry=False))
        await asyncio.sleep(1)


async def _lag(seen: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.05)
        seen.append(time.monotonic() - began - 0.05)


def _figures(outcome: Outcome, tries: Sequence[Try], began: float, seconds: int) -> None:
    by_second: list[Counter] = [Counter() for _ in range(seconds)]
    for each in tries:
        by_second[min(seconds - 1, int(each.ended - began))][each.status] += 1
    outcome.seconds = [dict(counter) for counter in by_second]
    outcome.statuses = dict(sum(by_second, Counter()))
    # Nothing can be served before a page has been made.
    times = sorted(t.ended - began - outcome.page for t in tries if t.status == 200)
    starts = [second / 2 for second in range(2 * (seconds - WINDOW - int(outcome.page)))]
    windows = (sum(start <= t < start + WINDOW for t in times) for start in starts)
    outcome.lowest = min(windows) / WINDOW
    outcome.mean = len(times) / (seconds - outcome.page)
    outcome.p99 = percentile(_served(tries), 0.99)
    rejected = [t for t in tries if t.status in {502, 503}]
    times = [1000 * t.seconds for t in rejected]
    outcome.told = (percentile(times, 0.5), percentile(times, 0.99), max(times, default=0))
    outcome.soon = sum(t.seconds <= _SOON for t in rejected) / max(1, len(rejected))
    outcome.retry = sum(t.retry for t in rejected) / max(1, len(rejected))


def _posts(tries: Iterable[Try], notes: Path) -> dict[str, int]:
    """What the app ran, compared with what its clients were told."""
    runs: dict[int, list[float]] = {}
    for line in notes.read_text().splitlines():
        number, when = line.split()
        runs.setdefault(int(number), []).append(float(when))
    ran = [t for t in tries if t.number in runs]
    return {
        "run": len(runs),
        "run twice": sum(len(times) > 1 for times in runs.values()),
        "run, client told 503": sum(t.status == 503 for t in ran),
        "run, client told 502": sum(t.status == 502 for t in ran),
        "run, client told 504 meanwhile": sum(
            t.status == 504 and runs[t.number][0] <= t.ended for t in ran
        ),
        "run after client was told 504": sum(
            t.status == 504 and runs[t.number][0] > t.ended for t in ran
        ),
        "served, not run": sum(t.status == 200 and t.number not in runs for t in tries),
    }


def _logged(stack: Stack) -> float | None:
    """The share of 503s and 502s within 100 ms by nginx's log, if that has times."""
    soon = total = 0
    for file in stack.log_files():
        with file.open("rb") as lines:
            for line in lines:
                if found := _REJECTED.search(line):
                    total += 1
                    soon += float(found[1]) <= _SOON
    return soon / total if total else None


def _share(tries: Sequence[Try], statuses: set[int]) -> float:
    return sum(t.status in statuses for t in tries) / max(1, len(tries))


def _served(tries: Iterable[Try]) -> list[float]:
    return [t.seconds for t in tries if t.status == 200]


def _write(outcomes: Sequence[Outcome], run: dict[str, str], folder: Path) -> None:
    results = {"run": run, "outcomes": [asdict(outcome) for outcome in outcomes]}
    (folder / "overload.json").write_text(json.dumps(results))
    lines = [
        "# Overload",
        "",
        *(f"{name}: {text}  " for name, text in run.items()),
        f"{SCALE.workers} workers of {SCALE.threads} threads.",
    ]
    for clients, method in dict.fromkeys((o.clients, o.method) for o in outcomes):
        these = [o for o in outcomes if (o.clients, o.method) == (clients, method)]
        page, timeout, seconds = these[0].page, these[0].timeout, len(these[0].seconds)
        lines += [
            "",
            f"## {clients} clients, {method}, a page of {page:.3g} s, timeout {timeout} s,"
            f" {seconds} s",
            "",
            *_table(["", *(o.stack for o in these)], _rows(these)),
        ]
    (folder / "overload.md").write_text("\n".join(lines) + "\n")


def _rows(these: Sequence[Outcome]) -> Iterator[list[str]]:
    def row(what: str, show: Callable[[Outcome], str]) -> list[str]:
        return [what, *map(show, these)]

    yield row("capacity before, 200s a second", lambda o: f"{o.before:.1f}")
    yield row("200s under overload, mean", lambda o: f"{o.mean / o.before:.0%}")
    yield row("200s, worst five seconds", lambda o: f"{o.lowest / o.before:.0%}")
    yield row("p99 of 200s", lambda o: f"{o.p99:.2f} s")
    for status in sorted({status for o in these for status in o.statuses}):
        name = str(status) if status else "no response"
        yield row(name, lambda o, status=status: f"{o.statuses.get(status, 0):,}")
    yield row("time to 503 (502): p50 / p99 / slowest", lambda o: _milliseconds(o.told))
    yield row("of these within 100 ms", lambda o: f"{o.soon:.2%}" if any(o.told) else "")
    yield row("the same, by nginx's log", lambda o: f"{o.logged:.2%}" if o.logged else "")
    yield row("of these with `Retry-After`", lambda o: f"{o.retry:.0%}" if any(o.told) else "")
    for name in dict.fromkeys(name for o in these for name in o.beside):
        yield row(f"{name}: 200s, p99", lambda o, name=name: _beside_cell(o.beside.get(name)))
    yield row(
        "served as before, after the load",
        lambda o: f"{o.recovery:.1f} s" if o.recovery < RECOVERY else f"not within {RECOVERY} s",
    )
    yield row("capacity 10 s after the load", lambda o: f"{o.after / o.before:.0%}")
    for name in dict.fromkeys(name for o in these for name in o.posts):
        yield row(f"POSTs {name}", lambda o, name=name: f"{o.posts[name]:,}")
    yield row("CPUs: nginx, app", lambda o: f"{o.cpu['nginx']:.2f}, {o.cpu['app']:.2f}")
    yield row("clients' own delay, p99", lambda o: f"{o.lag:.0f} ms")


def _milliseconds(times: tuple[float, float, float]) -> str:
    return " / ".join(f"{time:.0f}" for time in times) + " ms" if any(times) else ""


def _beside_cell(seen: tuple[int, float, float] | None) -> str:
    return f"{seen[1]:.1%} of {seen[0]}, {1000 * seen[2]:.0f} ms" if seen else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _named(words: Sequence[str] | None) -> list[type[Stack]]:
    return [kind for kind in STACKS if not words or any(word in kind.name for word in words)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="of each overload (default: 180)")
    parser.add_argument("--clients", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--methods", nargs="+", default=["GET", "POST"])
    parser.add_argument("--stacks", nargs="+", help="only those with one of these in the name")
    parser.add_argument("--timeout", type=int, default=5, help="REQUEST_TIMEOUT (default: 5)")
    parser.add_argument(
        "--page", type=float, help="seconds that a page takes (default: for 10 times the capacity)"
    )
    parser.add_argument("--output", type=Path, default=PROJECT / ".run" / "bench")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
