"""Each server is asked all rows once; the tests then look at what it did."""

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from tests.conformance import page
from tests.conformance.row import Outcome, Row
from tests.conformance.rows import ROWS
from tests.conformance.runner import run

Outcomes = Callable[[str], Mapping[Row, Outcome]]


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    """What a kind of server ("werkzeug", "host", "compose") did with each row."""
    return cache(lambda kind: run(kind, ROWS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each row, by each kind of site that it is asked of."""
    if {"row", "served_by"} <= set(metafunc.fixturenames):
        marks = {"host": (), "compose": pytest.mark.docker}
        asked = [
            pytest.param(row, kind, marks=marks[kind], id=f"{row.family}: {row.name}-{kind}")
            for row in ROWS
            for kind in row.kinds
        ]
        metafunc.parametrize(("row", "served_by"), asked)


@pytest.fixture
def expected(row: Row, outcomes: Outcomes) -> Outcome:
    """What is right for a row."""
    return page.expect(row, {} if row.right is not None else outcomes("werkzeug"))


@pytest.fixture
def ours(row: Row, served_by: str, outcomes: Outcomes) -> Outcome:
    """What this bundle did with a row."""
    return outcomes(served_by)[row]
