"""Each process of a site gets each signal: what is lost, and that nothing is left."""

from collections.abc import Iterator

import pytest

from tests.reliability import page
from tests.reliability.kills import (
    CLIENTS,
    ENDS,
    FINISH,
    ONE_WORKER,
    ROWS,
    THREADS,
    UWSGI_WORKER,
    Row,
    Victim,
    victim,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host() -> Iterator[Victim]:
    with victim("host") as started:
        yield started


@pytest.fixture(scope="module")
def compose() -> Iterator[Victim]:
    with victim("compose") as started:
        yield started


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            marks=pytest.mark.docker if row.kind == "compose" else (),
            id=f"{row.kind}: {row.process.strip('`')}, {row.signals}",
        )
        for row in ROWS
    ],
)
def test_a_signal_costs_no_more_than_the_table_says(
    row: Row, request: pytest.FixtureRequest
) -> None:
    outcome = request.getfixturevalue(row.kind).measure(row)
    if row.in_flight == FINISH:
        assert not outcome.lost, outcome
    if row.process == UWSGI_WORKER and row.in_flight == ONE_WORKER:
        assert outcome.lost <= THREADS, outcome
    if row.site != ENDS:
        # Each client had one request in flight when the signal came.
        assert sum(status != 200 for status in outcome.load) <= CLIENTS, outcome
    if row.site == ENDS:
        assert not outcome.left, outcome


def test_the_page_has_exactly_these_rows() -> None:
    rows = [row[:5] for row in page.listed("kills")]
    assert rows == [page.kill_cells(row) for row in ROWS], "run `python -m tests.reliability`"
