"""An app behaves here as in plain Python: each row of the table, by host and by container."""

from collections import Counter

from tests.conformance import page
from tests.conformance.row import Outcome, Row
from tests.conformance.rows import FAMILIES, ROWS


def test_a_row_is_as_with_werkzeugs_server_or_differs_on_purpose(
    row: Row, ours: Outcome, expected: Outcome
) -> None:
    assert not ours.left, "processes were left behind"
    assert not ours.noise, "the log has what it must not have"
    if row.differs:
        assert (ours.seen, ours.logged) != (expected.seen, expected.logged), "no longer differs"
    else:
        assert ours.seen == expected.seen
        assert ours.logged == expected.logged, row.logs


def test_each_difference_is_documented_and_each_document_has_a_row() -> None:
    assert {row.differs for row in ROWS if row.differs} == page.anchors()


def test_the_page_lists_exactly_these_rows() -> None:
    rows = [(row.family, row.name, {row.differs} - {""}) for row in ROWS]
    assert page.listed() == rows, "run `python -m tests.conformance`"


def test_there_are_at_least_eight_rows_of_each_family() -> None:
    counted = Counter(row.family for row in ROWS)
    assert len(counted) == len(FAMILIES)
    assert min(counted.values()) >= 8


def test_names_and_tokens_of_rows_are_unique() -> None:
    assert len({row.token for row in ROWS}) == len(ROWS)
