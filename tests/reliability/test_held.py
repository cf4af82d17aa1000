"""A view that does not release the interpreter, in every worker at once."""

import pytest

from tests.conftest import KINDS
from tests.reliability import held, page
from tests.servers import Serve


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("holder", held.HOLDERS)
def test_workers_whose_interpreter_is_held_log_a_stack_trace_and_are_replaced(
    kind: str, holder: str, shared_site: Serve
) -> None:
    outcome = held.measure(shared_site(kind, **held.SITE), holder)
    assert set(outcome.statuses) <= {502, 504}, outcome
    assert outcome.stacks >= held.WORKERS, outcome


def test_the_page_has_exactly_these_rows() -> None:
    rows = [row[:2] for row in page.listed("held")]
    cells = [page.held_cells(kind, holder) for kind in KINDS for holder in held.HOLDERS]
    assert rows == cells, "run `python -m tests.reliability`"
