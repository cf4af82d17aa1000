"""Measurement: rounds of new processes, and pairs of short loads within a round."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import endpoints, load
from benchmarks.endpoints import Endpoint
from benchmarks.ratios import FEWEST
from benchmarks.results import Footprint, Pair, Results, Sample, Series
from benchmarks.stacks import Stack
from tests.servers import NotServedError

Say = Callable[[str], None]
Make = Callable[[], Stack]


@dataclass(frozen=True)
class Comparison:
    """What is compared with what, under which loads.

    Args:
        base: what each other one is compared with.
        others: what is compared.
        cells: endpoints and numbers of connections.
        minutes: limit of the duration.
        seconds: duration of each load.
        rounds: how many there are at least.
    """

    base: Make
    others: Sequence[Make]
    cells: Sequence[tuple[Endpoint, int]]
    minutes: float
    seconds: float = 0.1
    rounds: int = FEWEST


def compare(comparison: Comparison, series: Series, results: Results, say: Say) -> None:
    """Measure until each ratio is settled, or for as long as it may take.

    A round starts all servers anew, since the memory layout of a process makes it up to 15 % faster
    or slower for as long as it lives. It has two pairs for each ratio that is not settled yet.

    Args:
        comparison: what.
        series: pairs are appended to it.
        results: has what cannot be measured, with the reason.
        say: prints the progress.
    """
    end, longest = time.monotonic() + 60 * comparison.minutes, 0.0
    left = {
        (index, cell)
        for index, make in enumerate(comparison.others)
        for cell in comparison.cells
        if cell[0] in make().serves
    }
    total = len(left)
    for number in itertools.count():
        began = time.monotonic()
        if not left or (number >= comparison.rounds and began + longest > end):
            return
        with ExitStack() as block:
            base, others = _started(block, comparison, {index for index, _ in left}, results)
            left = {key for key in left if key[0] in others}
            for cell, (index, other) in itertools.product(comparison.cells, others.items()):
                if (index, cell) in left:
                    try:
                        series.pairs += _pairs(number, cell, base, other, comparison.seconds)
                    except load.NoLoadError as error:
                        results.missing[f"{other.name}: {cell[0].name}, {cell[1]}"] = str(error)
                        left.remove((index, cell))
                        continue
                    last = series.pairs[-1]
                    found = series.ratio(other.name, last.cell, Sample.cost, last.other.workers)
                    if found and found.settled:
                        left.remove((index, cell))
        longest = max(longest, time.monotonic() - began)
        say(f"round {number + 1}: {total - len(left)} of {total} ratios are settled")


def _started(
    block: ExitStack, comparison: Comparison, wanted: set[int], results: Results
) -> tuple[Stack, dict[int, Stack]]:
    """The servers, started: the base, and the others of these indices, by index."""

    def start(make: Make) -> Stack | None:
        stack = make()
        try:
            block.enter_context(stack)
            for endpoint in dict.fromkeys(endpoint for endpoint, _ in comparison.cells):
                if endpoint in stack.serves:
                    stack.check(endpoint)
        except (NotServedError, load.WrongResponseError) as error:
            results.missing[stack.name] = str(error)
            return None
        return stack

    makes = [comparison.base, *(comparison.others[index] for index in sorted(wanted))]
    with ThreadPoolExecutor() as pool:
        base, *others = pool.map(start, makes)
    if not base:
        raise NotServedError("\n".join(results.missing.values()))
    started = zip(sorted(wanted), others, strict=True)
    return base, {index: stack for index, stack in started if stack}


def _pairs(
    number: int, cell: tuple[Endpoint, int], base: Stack, other: Stack, seconds: float
) -> Iterator[Pair]:
    # ABBA: what changes steadily affects both.
    for order in ((base, other), (other, base)):
        samples = {id(stack): stack.sample(*cell, seconds) for stack in order}
        yield Pair(number, cell[0].name, cell[1], samples[id(base)], samples[id(other)])


def footprint(make: Make) -> Footprint:
    """Memory and start of a server, with no other one beside it.

    Raises:
        NotServedError: it does not start.
        WrongResponseError: a response is wrong.
    """
    with make() as stack:
        idle = stack.memory()
        for endpoint in (*endpoints.DYNAMIC, endpoints.UPLOAD):
            if endpoint in stack.serves:
                stack.check(endpoint)
                load.run(stack.url, endpoint, 32, 200 if endpoint is endpoints.UPLOAD else 2000)
        return Footprint(stack.name, stack.seconds, idle, stack.memory())
