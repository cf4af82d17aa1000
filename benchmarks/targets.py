"""What this bundle wants to reach, as ratios within one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import endpoints
from benchmarks.endpoints import Endpoint
from benchmarks.figures import Figures, Row
from benchmarks.measure import LIMITED
from benchmarks.stacks import STACKS, Granian, NginxAlone, Ours

_WAIT = 0.02  # seconds that the endpoint of that name waits
_PEERS = [
    stack.name
    for stack in STACKS
    if stack.behind_nginx and stack is not NginxAlone and not issubclass(stack, Ours)
]


@dataclass(frozen=True)
class Target:
    """A ratio, and what it should be.

    Args:
        what: of what to what.
        figure: what it is, as text.
        wanted: what it should be, as text.
        met: whether it is.
    """

    what: str
    figure: str
    wanted: str
    met: bool

    @classmethod
    def at_most(cls, what: str, value: float, most: float, unit: str = "") -> "Target":
        """The less, the better."""
        return cls(what, f"{value:.2f}{unit}", f"≤ {most:g}{unit}", round(value, 2) <= most)

    @classmethod
    def at_least(cls, what: str, value: float, least: float) -> "Target":
        """The more, the better."""
        return cls(what, f"{value:.2f}", f"≥ {least:g}", round(value, 2) >= least)


def of(figures: Figures) -> Iterator[Target]:
    """The targets that this run says something about."""
    if not figures.results.samples:
        return
    few = figures.connections()[0]
    for endpoint in LIMITED:
        ours = figures.row(Ours.name, endpoint, few)
        peers = _clean_peers(figures, endpoint, few)
        if ours and peers:
            best = min(peers, key=lambda name: peers[name].cpu.value)
            what = f"CPU, {endpoint.name}: ours to the best other behind nginx ({best})"
            yield Target.at_most(what, ours.cpu.value / peers[best].cpu.value, 0.9)
    yield from _in_process(figures, few)
    yield from _waiting(figures, few)
    for connections in figures.connections()[1:]:
        yield from _crowded(figures, connections)
    yield from _cached(figures, few)
    yield from _memory(figures)


def _clean_peers(figures: Figures, endpoint: Endpoint, connections: int) -> dict[str, Row]:
    rows = {name: figures.row(name, endpoint, connections) for name in _PEERS}
    return {name: row for name, row in rows.items() if row and not row.errors}


def _in_process(figures: Figures, connections: int) -> Iterator[Target]:
    ours = figures.row(Ours.name, endpoints.TEMPLATE, connections)
    for processes in figures.at_once():
        limit = figures.limit(endpoints.TEMPLATE, processes)
        if ours and limit:
            at_once = "" if processes == 1 else f", {processes} of it at once"
            what = f"CPU, {endpoints.TEMPLATE.name}: ours to in-process{at_once}"
            yield Target.at_most(what, ours.cpu.value / limit, 1.3)


def _waiting(figures: Figures, connections: int) -> Iterator[Target]:
    ours = figures.row(Ours.name, endpoints.WAIT, connections)
    if ours:
        threads = int(figures.results.run["workers"]) * int(figures.results.run["threads"])
        possible = min(threads, connections) / _WAIT
        what = f"throughput, {endpoints.WAIT.name}: ours to what its threads allow"
        yield Target.at_least(what, ours.throughput.value / possible, 0.97)
        if rate := figures.rate(endpoints.WAIT):
            what = f"throughput, {endpoints.WAIT.name}: ours to the same threads in-process"
            yield Target.at_least(what, ours.throughput.value / min(rate, possible), 0.97)


def _crowded(figures: Figures, connections: int) -> Iterator[Target]:
    for endpoint in endpoints.ENDPOINTS:
        ours = figures.row(Ours.name, endpoint, connections)
        if not ours:
            continue
        what = f"{connections} connections, {endpoint.name}"
        yield Target(f"{what}: errors of ours", f"{ours.errors:,}", "0", ours.errors == 0)
        peers = _clean_peers(figures, endpoint, connections)
        if peers and endpoint in LIMITED:
            best = min(peers, key=lambda name: peers[name].p99.value)
            what += f": p99 of ours to the best other behind nginx ({best})"
            yield Target.at_most(what, ours.p99.value / peers[best].p99.value, 1)


def _cached(figures: Figures, connections: int) -> Iterator[Target]:
    ours = figures.row(Ours.name, endpoints.CACHEABLE, connections)
    nginx = figures.row(NginxAlone.name, endpoints.STATIC, connections)
    if ours and nginx:
        what = "a cacheable page of ours to nginx alone with a file of that size"
        throughput = ours.throughput.value / nginx.throughput.value
        yield Target.at_least(f"throughput, {what}", throughput, 0.8)
        speed = nginx.cpu.value / ours.cpu.value
        yield Target.at_least(f"requests for the same CPU, {what}", speed, 0.8)


def _memory(figures: Figures) -> Iterator[Target]:
    found = {footprint.stack: footprint for footprint in figures.results.footprints}
    if {Ours.name, Granian.name} <= found.keys():
        ours, peer = found[Ours.name], found[Granian.name]
        for when, mine, its in (
            ("at rest", ours.idle, peer.idle),
            ("after load", ours.loaded, peer.loaded),
        ):
            of = sum(its.values())
            what = f"memory {when}: ours to {Granian.name}"
            yield Target.at_most(what, sum(mine.values()) / of, 1)
            pair = sum(mine.values()) - mine.get("supervisor", 0)
            yield Target.at_most(f"{what}, without `make serve` itself", pair / of, 1)
