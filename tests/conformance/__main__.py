"""Ask all servers all rows, and write docs/conformance.md: `python -m tests.conformance`."""

from tests.conformance import page
from tests.conformance.rows import ROWS
from tests.conformance.runner import KINDS, run

if __name__ == "__main__":
    page.write(ROWS, {kind: run(kind, ROWS) for kind in KINDS})
