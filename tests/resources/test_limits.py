"""The limits of memory, processes, threads and open files: what ends there, and what comes back."""

import subprocess

import pytest

from tests.resources.small import SECONDS, all_workers_serve, limited_processes, logged
from tests.servers import ComposeSite, until

pytestmark = pytest.mark.docker


def test_the_memory_limit_is_logged(small_site: ComposeSite) -> None:
    seen = len(small_site.logs("app"))
    assert small_site.ask("/x/memory", method="POST").text == "killed"
    logged(small_site, "app", seen, "The memory limit is reached")


def test_the_kernel_kills_a_worker_before_the_master(small_site: ComposeSite) -> None:
    (app,) = small_site.containers("app")
    worker = small_site.ask("/x/").text
    files = (f"/proc/{pid}/oom_score_adj" for pid in (1, worker))
    done = subprocess.run(["docker", "exec", app, "cat", *files], capture_output=True, check=True)
    of_master, of_worker = map(int, done.stdout.split())
    assert of_worker == of_master + 100


def test_a_worker_that_cannot_be_started_is_tried_until_it_can(small_site: ComposeSite) -> None:
    site = small_site
    until(lambda: all_workers_serve(site), "both workers", SECONDS)
    seen = len(site.logs("app"))
    with limited_processes(site, 1):
        assert site.ask("/x/exit").status == 502
        logged(site, "app", seen, r"worker \d cannot be started \(fork: Resource temporarily")
        assert site.ask("/x/").status == 200  # the other worker
    logged(site, "app", seen, r"Respawned uWSGI worker \d")


def test_threads_that_cannot_be_started_are_tried_until_they_can(small_site: ComposeSite) -> None:
    site = small_site
    until(lambda: all_workers_serve(site), "both workers", SECONDS)
    seen = len(site.logs("app"))
    with limited_processes(site, 1):
        assert site.ask("/x/exit").status == 502
        logged(site, "app", seen, r"worker \d cannot be started")
        # Room for a worker with the 3 or 4 threads of the bundle and some of its own 4; for less
        # while a healthcheck runs.
        with limited_processes(site, int(site.ask("/x/tasks").text) + 6):
            logged(site, "app", seen, r"worker \d has [123] of 4 threads")
            assert site.ask("/x/").status == 200
    logged(site, "app", seen, r"worker \d has all of its 4 threads")


def test_a_worker_that_leaks_open_files_is_replaced(small_site: ComposeSite) -> None:
    site = small_site
    until(lambda: all_workers_serve(site), "both workers", SECONDS)
    seen = len(site.logs("app"))
    leaky = site.ask("/x/files", method="POST").text
    logged(site, "app", seen, rf"Too many open files: \d+[^\n]*\nWorker \d \(pid {leaky}\)")
    logged(site, "app", seen, r"Respawned uWSGI worker \d")
    assert site.ask("/x/").status == 200
