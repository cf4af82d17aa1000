"""Measuring: rounds in which every stack gets the same load, one right after the other."""

import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import endpoints, inprocess, load, usage
from benchmarks.endpoints import Endpoint
from benchmarks.places import Place
from benchmarks.results import Footprint, Limit, Results, Sample
from benchmarks.stacks import (
    Granian,
    Gunicorn,
    Ours,
    Scale,
    Stack,
    UsualRecipe,
    place_app,
)
from tests.servers import NotServedError

Say = Callable[[str], None]

# What the app can be called with in-process, and what nginx's share is asked for.
LIMITED = (endpoints.TINY, endpoints.JSON, endpoints.TEMPLATE, endpoints.FORM)
# Connections of the plot over connections, besides those that are measured anyway.
MORE_CONNECTIONS = (1, 8, 128, 512)
# Workers of the plot over workers, and who is in it: each point is a start.
WORKERS = (1, 2, 4, 8)
OVER_WORKERS = (Ours, UsualRecipe, Gunicorn, Granian)


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long.

    Args:
        stacks: what is compared.
        endpoints: what is asked for.
        scale: workers and threads.
        place: where all of it runs.
        rounds: how often each figure is taken; tables show the median.
        seconds: how long each takes.
        connections: how many clients there are at once.
        many: and how many for the tiny endpoint, on top; 0 for none.
        sweeps: whether to measure over connections and over workers as well.
    """

    stacks: Sequence[type[Stack]]
    endpoints: Sequence[Endpoint]
    scale: Scale
    place: Place
    rounds: int
    seconds: int
    connections: Sequence[int]
    many: int
    sweeps: bool

    def cells(self) -> Iterator[tuple[Endpoint, int]]:
        """Each endpoint with each number of connections."""
        yield from itertools.product(self.endpoints, self.connections)
        if self.many and endpoints.TINY in self.endpoints:
            yield endpoints.TINY, self.many


def measure(plan: Plan, results: Results, say: Say) -> None:
    """Measure all of it; what cannot be measured is in `missing`, with the reason.

    Args:
        plan: what.
        results: where it is added, figure by figure.
        say: tells people how far it is.
    """
    for stack in plan.stacks:
        say(f"{stack.name}: start and memory")
        try:
            results.footprints.append(_footprint(stack(plan.scale, plan.place), plan))
        except (NotServedError, load.WrongResponseError) as error:
            results.missing[stack.name] = str(error)
            say(str(error))
    there = [stack for stack in plan.stacks if stack.name not in results.missing]
    with ExitStack() as block:
        running = [block.enter_context(stack(plan.scale, plan.place)) for stack in there]
        for stack in running:
            _warm_up(stack, plan)
        for number in range(plan.rounds):
            _round(number, running, plan, results, say)
        if plan.sweeps:
            for connections in MORE_CONNECTIONS:
                say(f"over connections: {connections}")
                results.by_connections += _each(
                    running, endpoints.TINY, connections, plan.seconds, results
                )
    if plan.sweeps:
        for workers in WORKERS:
            say(f"over workers: {workers}")
            results.by_workers += _with_workers(there, workers, plan)


def _footprint(stack: Stack, plan: Plan) -> Footprint:
    with stack:
        idle = _memory(stack)
        for endpoint in _served(stack, plan):
            load.check(stack.port, stack.mount, endpoint)
            if endpoint in (*LIMITED, endpoints.UPLOAD):
                load.run(stack.url, endpoint, 32, 1)
        stack.forget_logs()
        return Footprint(stack.name, stack.seconds, idle, _memory(stack))


def _round(number: int, stacks: Sequence[Stack], plan: Plan, results: Results, say: Say) -> None:
    for endpoint, connections in plan.cells():
        say(f"round {number + 1} of {plan.rounds}: {endpoint.name}, {connections} connections")
        # Each round begins with another one, so that none always follows the same one.
        order = [*stacks[number % len(stacks) :], *stacks[: number % len(stacks)]]
        results.samples += _each(order, endpoint, connections, plan.seconds, results)
        if connections != plan.connections[0]:
            continue
        if endpoint in LIMITED:
            for processes in sorted({1, plan.scale.workers}):
                results.limits += _limits(endpoint, processes, 1, plan, results)
        if endpoint == endpoints.WAIT:
            scale = plan.scale
            results.limits += _limits(endpoint, scale.workers, scale.threads, plan, results)


def _each(
    stacks: Sequence[Stack], endpoint: Endpoint, connections: int, seconds: int, results: Results
) -> Iterator[Sample]:
    for stack in stacks:
        if endpoint in stack.serves:
            try:
                yield _sample(stack, endpoint, connections, seconds * endpoint.seconds)
            except load.NoLoadError as error:
                what = f"{stack.name}: {endpoint.name}, {connections} connections"
                results.missing[what] = str(error)


def _sample(stack: Stack, endpoint: Endpoint, connections: int, seconds: int) -> Sample:
    engine, pids = stack.place.engine(), stack.pids()
    machine = usage.Machine.now()
    before = usage.cpu([*engine, *pids])
    done = load.run(stack.url, endpoint, connections, seconds)
    parts = stack.processes()  # some start more when there is more to do
    after = usage.cpu([*engine, *(pid for part in parts.values() for pid in part)])
    then = usage.Machine.now()
    _come_to_rest(stack)
    stack.forget_logs()

    def taken(pids: Iterable[int]) -> float:
        return sum(after.get(pid, 0) - before.get(pid, 0) for pid in pids) / 1e9

    cpu = {part: taken(pids) for part, pids in parts.items()}
    known = sum(cpu.values()) + taken(engine) + done.client_cpu
    all_cpus = (then.at - machine.at) * usage.CPUS
    return Sample(
        stack=stack.name,
        endpoint=endpoint.name,
        connections=connections,
        workers=stack.scale.workers,
        load=done,
        cpu=cpu,
        ended=len(set(pids) - after.keys()),
        foreign=max(0, (then.busy - machine.busy - known) / all_cpus),
        stolen=(then.stolen - machine.stolen) / all_cpus,
    )


def _come_to_rest(stack: Stack, timeout: float = 3) -> None:
    """Wait until it does no more for clients that have gone: the next one wants the CPUs."""
    pids = stack.pids()
    end = time.monotonic() + timeout
    before = sum(usage.cpu(pids).values())
    while time.monotonic() < end:
        time.sleep(0.05)
        now = sum(usage.cpu(pids).values())
        if now - before < 0.002 * 1e9:
            return
        before = now


def _with_workers(stacks: Sequence[type[Stack]], workers: int, plan: Plan) -> list[Sample]:
    samples = []
    for kind in stacks:
        if kind in OVER_WORKERS:
            with kind(Scale(workers, plan.scale.threads), plan.place) as stack:
                _warm_up(stack, plan)
                samples.append(_sample(stack, endpoints.TEMPLATE, 32, plan.seconds))
    return samples


def _warm_up(stack: Stack, plan: Plan) -> None:
    for endpoint in _served(stack, plan):
        for _ in range(20):
            load.check(stack.port, stack.mount, endpoint)


def _served(stack: Stack, plan: Plan) -> list[Endpoint]:
    return [endpoint for endpoint in plan.endpoints if endpoint in stack.serves]


def _memory(stack: Stack) -> dict[str, int]:
    return {part: usage.memory(pids) for part, pids in stack.processes().items()}


def _limits(
    endpoint: Endpoint, processes: int, threads: int, plan: Plan, results: Results
) -> Iterator[Limit]:
    """Call the app in-process, in that many processes at once."""
    for said in _call_in_process(endpoint, processes, threads, plan):
        if found := inprocess.RESULT.search(said):
            calls, cpu, time = (int(found[name]) for name in ("calls", "cpu", "time"))
            yield Limit(endpoint.name, processes, threads, cpu / calls / 1e9, calls / time * 1e9)
        else:
            results.missing[f"in-process: {endpoint.name}"] = (
                said.strip() or "it says nothing"
            ).splitlines()[-1]


def _call_in_process(endpoint: Endpoint, processes: int, threads: int, plan: Plan) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        place_app(Path(folder))
        seconds = plan.seconds * endpoint.seconds
        arguments = [str(seconds), str(threads), endpoint.method, endpoint.path]
        if endpoint.body:
            body = Path(folder, "body")
            body.write_bytes(endpoint.body)
            arguments += [endpoint.content_type, str(body)]
        command = plan.place.in_process(Path(folder), arguments)
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
        started = [
            subprocess.Popen(command, start_new_session=True, **options) for _ in range(processes)
        ]
        return [process.communicate()[0] for process in started]
