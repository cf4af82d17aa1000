"""The conformance table as a page."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.conformance.row import BROKEN, Outcome, Row
from tests.servers import PROJECT

PAGE = PROJECT / "docs" / "conformance.md"
DIFFERENCES = PROJECT / "docs" / "differences.md"
_HEAD = """\
# Conformance

What Flask's own server does with an app, this bundle does too. Each row was sent to Werkzeug's
server (`flask run`), `make serve` and Compose; status, headers, body, log and the processes that
are left were compared. `python -m tests.conformance` writes this page, and
`tests/conformance/test_conformance.py` tests each row.

Not compared are headers that servers add by themselves (`Date`, `Server`, `Connection`,
`X-Request-ID`, `Vary: Accept-Encoding`, security headers). What is in italics is written in the
row, because Werkzeug's server has no fixed value for it. A row that
differs on purpose links to the reason.

| family | row | Werkzeug | make serve | Compose |
|---|---|---|---|---|
"""


def write(rows: Iterable[Row], outcomes: Mapping[str, Mapping[Row, Outcome]]) -> None:
    """Write the page from what each kind of server did."""
    lines = []
    for row in rows:
        expected = expect(row, outcomes["werkzeug"])
        mark = "*" if row.right is not None else ""
        cells = [row.family, row.name, f"{mark}{summary(expected.seen)}{mark}"]
        for kind in ("host", "compose"):
            ours = outcomes[kind].get(row)
            if ours is None:
                cells.append("not asked")
            elif row.differs:
                cells.append(f"[{summary(ours.seen)}](differences.md#{row.differs})")
            else:
                cells.append("same" if agrees(ours, expected) else "DIFFERS")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    PAGE.write_text(_HEAD + "".join(lines))


def listed() -> list[tuple[str, str, set[str]]]:
    """Family, name and links to differences of each row of the page."""
    rows = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 7 and cells[1] not in {"family", "---"}:
            rows.append((cells[1], cells[2], set(re.findall(r"differences\.md#([\w-]+)", line))))
    return rows


def anchors() -> set[str]:
    """The headings of docs/differences.md, as the anchors that GitHub makes of them."""
    headings = re.findall(r"^## (.*)$", DIFFERENCES.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def expect(row: Row, reference: Mapping[Row, Outcome]) -> Outcome:
    """What is right: what the row says, or what Werkzeug's server did."""
    if row.right is None:
        return reference[row]
    return Outcome(seen=row.right, logged=(True,) * len(row.logs))


def agrees(ours: Outcome, expected: Outcome) -> bool:
    """Whether nothing differs, and nothing is left behind."""
    alike = (ours.seen, ours.logged) == (expected.seen, expected.logged)
    return alike and not ours.left and not ours.noise


def summary(seen: Any) -> str:
    """What was seen, in a few words."""
    if isinstance(seen, list):
        return ", then ".join(dict.fromkeys(map(summary, seen)))
    if not isinstance(seen, tuple):
        return BROKEN if seen == BROKEN else str(seen)
    body = seen[-1]
    if isinstance(body, bytes):
        text = f"{len(body):,} bytes" if len(body) > 24 else _quoted(body.decode("latin-1"))
    else:
        text = _quoted(str(body)) if len(str(body)) <= 24 else f"{len(str(body)):,} characters"
    return f"{seen[0]}, {text}" if text else str(seen[0])


def _quoted(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text).strip()
    return f"`{plain}`" if plain and "`" not in plain else ""
