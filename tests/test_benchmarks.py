"""The benchmarks: statistics that tell differences from noise, and a report of the results."""

import math
import os
import random
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import endpoints, load, measure, report, usage
from benchmarks.measure import Comparison
from benchmarks.places import OnHost
from benchmarks.ratios import Ratio, ratio
from benchmarks.results import Pair, Results, Sample, Series
from benchmarks.stacks import Ours, Peer, Scale, UsualRecipe, many_open_files
from tests.servers import until

FEW = 8
SCALE = Scale(workers=1, threads=2)
CELL = endpoints.FORM.name, FEW


class NotInstalled(Peer):
    name = "a missing server"

    def commands(self) -> list[list[str]]:
        return [["no-such-server"]]


@pytest.fixture(scope="module")
def results() -> Results:
    found = Results()
    series = found.series["table"] = Series({"commit": "of this test"})
    with many_open_files(), OnHost() as place:
        ours, *others = (partial(kind, SCALE, place) for kind in (Ours, UsualRecipe, NotInstalled))
        comparison = Comparison(ours, others, [(endpoints.FORM, FEW)], minutes=0, rounds=1)
        measure.compare(comparison, series, found, say=print)
        found.footprints = [measure.footprint(others[0])]
    return found


@pytest.mark.slow
def test_a_pair_has_the_cpu_time_of_both_servers_and_of_nginx(results: Results) -> None:
    pairs = results.series["table"].pairs
    assert {(pair.base.stack, pair.other.stack) for pair in pairs} == {("ours", "usual recipe")}
    for sample in (sample for pair in pairs for sample in (pair.base, pair.other)):
        assert sample.errors == 0
        assert 0 < sample.cost("nginx") < sample.cost()
        assert sample.rate > 0
        assert 0 < sample.p50 <= sample.p99
        assert sum(sample.wakeups.values()) > 0


@pytest.mark.slow
def test_memory_is_that_of_all_processes(results: Results) -> None:
    [footprint] = results.footprints
    assert set(footprint.idle) == {"app", "nginx"}
    assert all(size > 1_000_000 for size in footprint.idle.values())
    assert footprint.seconds > 0


@pytest.mark.slow
def test_what_cannot_be_measured_is_in_the_report_with_the_reason(results: Results) -> None:
    text = report.write(results, plot="report.svg")
    assert "| a missing server | no-such-server is not installed |" in text
    assert "| usual recipe |" in text


@pytest.mark.slow
def test_results_from_a_file_give_the_same_report(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(file)
    assert report.write(Results.read(file), "report.svg") == report.write(results, "report.svg")


@pytest.mark.slow
def test_a_load_ends_with_the_response_to_its_last_request() -> None:
    with many_open_files(), OnHost() as place, UsualRecipe(SCALE, place) as stack:
        done = load.run(stack.url, endpoints.TINY, FEW, 1000)
        assert (done.requests, done.errors) == (1000, 0)
        log = stack.folder / "access.log"

        def statuses() -> list[str]:
            # Without the requests before it was up.
            return re.findall(r'" (\d+) ', log.read_text())[-1000:]

        # 499 would be a client that does not wait.
        until(lambda: statuses() == ["200"] * 1000, "1000 responses in the log")


def test_context_switches_are_those_of_all_threads(tmp_path: Path) -> None:
    def wait() -> None:
        for _ in range(50):
            pause.wait(0.001)
        waited.set()
        end.wait()

    pause, waited, end = threading.Event(), threading.Event(), threading.Event()
    before, _ = usage.switches([os.getpid()])[os.getpid()]
    thread = threading.Thread(target=wait)
    thread.start()
    waited.wait()
    after, _ = usage.switches([os.getpid()])[os.getpid()]
    end.set()
    thread.join()
    # Not each of the 50 waits, if the machine is so busy that it is over before it begins.
    assert after - before >= 20


def sample(cost: float, stack: str = "ours", workers: int = 2, errors: int = 0) -> Sample:
    """A server that takes so many microseconds of CPU time for a request."""
    taken = {"app": 1000 * cost / 1e6}
    return Sample(
        stack, workers, 1000, errors, 1.0, 5.0, 9.0, taken, {"app": 1500}, {"app": 10}, foreign=0.1
    )


def series(ratios: Iterable[float], endpoint: str = CELL[0], **other: Any) -> Series:
    """Ours against another server that takes 100 microseconds, one pair a round."""
    pairs = [
        Pair(number, endpoint, FEW, sample(100 * ratio), sample(100, **other))
        for number, ratio in enumerate(ratios)
    ]
    return Series({"commit": "of this test"}, pairs)


def noise(chance: random.Random) -> float:
    """What one measurement is off by: luck of a start, noise, and at times a busy machine."""
    busy = chance.expovariate(5) if chance.random() < 0.1 else 0
    return math.exp(chance.gauss(0, 0.05) + chance.gauss(0, 0.05) + busy)


def rounds(truth: float, chance: random.Random, limit: int) -> Ratio:
    """A ratio of two servers, measured until it is settled."""
    values: list[float] = []
    while len(values) < limit and not (values and ratio(values).settled):
        values.append(truth * noise(chance) / noise(chance))
    return ratio(values)


@pytest.mark.parametrize("truth", [1, 0.95])
def test_the_interval_has_the_true_ratio_in_95_of_100_runs(truth: float) -> None:
    chance = random.Random(1)
    runs = [rounds(truth, chance, limit=25) for _ in range(200)]
    assert 0.93 <= sum(run.low <= truth <= run.high for run in runs) / len(runs) <= 0.99


def test_three_per_cent_can_be_told_with_enough_rounds() -> None:
    chance = random.Random(3)
    values = [0.96 * noise(chance) / noise(chance) for _ in range(150)]
    found, few = ratio(values), ratio(values[:10])
    assert found.low < 0.96 < found.high < 1
    assert few.high / few.low > 2 * found.high / found.low - 1


def test_rounds_end_when_a_ratio_is_known_to_three_per_cent_or_far_from_1() -> None:
    steady = [0.99, 1.0, 1.01] * 3
    assert not ratio(steady[:7]).settled
    assert ratio(steady[:8]).settled
    assert str(ratio(steady)) == "1.00 (0.99 to 1.01), equal"
    unsteady = [0.9, 1.0, 1.15] * 3
    assert not ratio(unsteady).settled
    assert str(ratio(unsteady)).endswith(", can't tell")
    assert ratio([value / 2 for value in unsteady[:6]]).settled


def test_fewer_than_six_rounds_tell_nothing() -> None:
    assert str(ratio([0.5] * 5)) == "0.50, can't tell"
    assert str(ratio([0.5] * 6)) == "0.50 (0.50 to 0.50)"


def test_measurements_with_errors_are_no_ratio() -> None:
    few = series([0.9] * 30, stack="theirs")
    few.pairs[0] = replace(few.pairs[0], other=sample(1, "theirs", errors=1))
    assert few.ratio("theirs", CELL, Sample.cost).value == pytest.approx(0.9)
    assert series([0.9] * 8, stack="theirs", errors=1).ratio("theirs", CELL, Sample.cost) is None


def test_two_pairs_of_a_round_are_one_measurement() -> None:
    once = series([0.9] * 9, stack="theirs")
    once.pairs += series([0.8] * 9, stack="theirs").pairs
    found = once.ratio("theirs", CELL, Sample.cost)
    assert (found.rounds, found.value) == (9, pytest.approx(math.sqrt(0.72)))


def test_each_series_has_its_part_of_the_report() -> None:
    found = Results(
        series={
            "table": series([0.9] * 8, stack="theirs"),
            "crowd": series([0.9] * 8, stack="theirs"),
            "workers": series([0.5] * 8, workers=16),
            "connections": series([0.9] * 8, stack="theirs"),
            "size": series([0.9] * 8, endpoint=endpoints.SIZES[0].name, stack="theirs"),
            "settings": series([0.8] * 8, stack="METRICS_PORT=9117"),
        }
    )
    assert tuple(found.series) == report.NAMES
    text = report.write(found, plot="report.svg")
    assert "| theirs | 0.90 (0.90 to 0.90) |" in text
    assert "| theirs | 1.00 (1.00 to 1.00), equal |" in text  # p99
    # The cost of more workers, and of a setting: with to without.
    assert f"| ours, {CELL[0]} | 1.5 | 2.00 (2.00 to 2.00); 1.5 |" in text
    assert "| METRICS_PORT=9117 | 1.25 (1.25 to 1.25) |" in text
