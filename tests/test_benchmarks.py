"""`make bench`, with two servers for a second each: what it says is what it saw."""

from pathlib import Path

import pytest

from benchmarks import endpoints, measure, report, targets
from benchmarks.figures import Figures
from benchmarks.places import OnHost
from benchmarks.results import Results
from benchmarks.stacks import Ours, Peer, Scale, UsualRecipe, many_open_files

FEW, MANY = 8, 256


class NotInstalled(Peer):
    name = "a missing server"

    def commands(self) -> list[list[str]]:
        return [["no-such-server"]]


@pytest.fixture(scope="module")
def results() -> Results:
    with many_open_files(), OnHost() as place:
        plan = measure.Plan(
            stacks=[Ours, UsualRecipe, NotInstalled],
            endpoints=[endpoints.FORM],
            scale=Scale(workers=1, threads=2),
            place=place,
            rounds=1,
            seconds=1,
            connections=[FEW, MANY],
            many=0,
            sweeps=False,
        )
        results = Results(run={"workers": "1", "threads": "2"})
        measure.measure(plan, results, say=print)
    return results


@pytest.mark.slow
def test_every_server_is_measured_with_its_share_of_nginx(results: Results) -> None:
    for stack in (Ours, UsualRecipe):
        row = Figures(results).row(stack.name, endpoints.FORM, FEW)
        assert row.errors == 0
        assert row.throughput.value > 0
        assert 0 < row.nginx < row.cpu.value
        assert 0 < row.p50.value <= row.p99.value


@pytest.mark.slow
def test_a_server_takes_more_than_the_app_alone(results: Results) -> None:
    figures = Figures(results)
    limit = figures.limit(endpoints.FORM, 1)
    assert 0 < limit < figures.row(UsualRecipe.name, endpoints.FORM, FEW).cpu.value


@pytest.mark.slow
def test_errors_are_counted_and_marked(results: Results) -> None:
    # Its queue holds 100 connections.
    row = Figures(results).row(UsualRecipe.name, endpoints.FORM, MANY)
    assert row.errors > 0
    assert "e" in row.throughput.marks


@pytest.mark.slow
def test_memory_is_that_of_all_processes_while_nobody_else_runs(results: Results) -> None:
    for footprint in results.footprints:
        assert set(footprint.idle) >= {"app", "nginx"}
        assert all(size > 1_000_000 for size in footprint.idle.values())
        assert footprint.seconds > 0


@pytest.mark.slow
def test_what_cannot_be_measured_is_in_the_report_with_the_reason(results: Results) -> None:
    text = report.write(results, plot="report.svg")
    assert "| a missing server | no-such-server is not installed |" in text
    assert "| usual recipe |" in text


@pytest.mark.slow
def test_the_verdict_is_that_of_the_figures(results: Results) -> None:
    figures = Figures(results)
    ours, other = (
        figures.row(stack.name, endpoints.FORM, FEW).cpu.value for stack in (Ours, UsualRecipe)
    )
    found = next(target for target in targets.of(figures) if target.what.startswith("CPU, form"))
    assert found.figure == f"{ours / other:.2f}"
    assert found.met == (round(ours / other, 2) <= 0.9)


@pytest.mark.slow
def test_results_that_were_kept_give_the_same_report(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(file)
    assert report.write(Results.read(file), "report.svg") == report.write(results, "report.svg")
