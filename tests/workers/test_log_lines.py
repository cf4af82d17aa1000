"""What the app prints is whole lines, also when many threads of many workers print at once."""

import pytest

from tests.servers import until


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["as it is", "PYTHONUNBUFFERED"])
def test_a_print_is_one_line(lab, unbuffered: str) -> None:
    environment = {"PYTHONUNBUFFERED": unbuffered} if unbuffered else {}
    site = lab(WORKERS=4, THREADS=4, REQUEST_TIMEOUT=60, **environment)
    # `serve` has the same variable, so its own last line is two writes.
    until(lambda: "/path/\n" in site.site.logs(), "the address", 60)
    with site.load(clients=16, path="/print") as counts:
        until(lambda: counts.total() >= 50, "many lines", 60)
    assert set(counts) == {200}
    lines = [line for line in site.site.logs().splitlines() if "LLL" in line or "MMM" in line]
    assert len(lines) == 40 * counts.total()
    assert set(lines) == {"L" * 60, "M" * 20_000}
