"""Tracebacks hold on to all locals of a request; the debugger holds on to few tracebacks."""

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["megabyte", "megabyte-in-a-template", "megabyte-behind-another"])
def test_memory_stays_flat_over_1500_exceptions_with_a_mebibyte_of_locals(uwsgi, kind):
    server = uwsgi(options=("--workers=1", "--threads=4"))

    def mebibytes():
        return sum(psutil.Process(pid).memory_full_info().pss for pid in server.workers()) >> 20

    figures = [mebibytes()]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for response in pool.map(server.get, (f"/path/{kind}/{n}" for n in range(150))):
                assert response.status == 500
            figures.append(mebibytes())
    print(f"\n{kind}: PSS of the worker in MiB, every 150 exceptions: {figures}")
    page = server.fail(f"/path/{kind}/last")
    found = {page.evaluate("len(ballast)", frame) for frame in range(len(page.frames))}
    assert "1048576" in found, "the newest traceback is not there whole"
    # By 150 exceptions the frames that are kept are full.
    assert max(figures) - figures[1] < 40, figures
