"""What the app starts behaves as under any other server, and ends with its worker."""

import os
import signal

import psutil
import pytest

from tests.servers import HostSite, Serve, Site, until
from tests.workers.lab import APPS

WAYS = [
    "Popen",
    "Popen in a session of its own",
    "Popen in a group of its own",
    "os.system in the background",
    "one that ignores SIGTERM",
    "os.fork",
]
DAEMON = "a daemon"
METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def children(kind: str, shared_site: Serve) -> Site:
    """The app in `apps/children.py`. THREADS=2: the main thread of a worker, and another."""
    files = (APPS / "children.py",)
    return shared_site(kind, files=files, MOUNTS="/path=children:app", WORKERS=1, THREADS=2)


def left(site: HostSite) -> list[psutil.Process]:
    """What is left of the processes that the app has started; they sleep in the site's folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "cwd"]):
        if process.info["cmdline"] == ["sleep", "3141"]:
            found += [process] * (process.info["cwd"] == str(site.folder))
    return found


# In a worker of two threads, one of two requests at least is not for the main thread.
@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("blocked", "0\n"),
        ("popen/15", "-15"),
        ("popen/2", "-2"),
        ("popen/1", "-1"),
        ("timeout", "124"),
        ("alarm", "-14"),
        ("os-fork", "-15"),
        ("stream", "all"),
        *[(f"process/{method}/15", "-15") for method in METHODS],
        *[(f"process/{method}/1", "-1") for method in METHODS],
        *[(f"exit/{method}", "0") for method in METHODS],
        *[(f"terminate/{method}", "-15") for method in METHODS],
        *[(f"pool/{method}", "[3, 2, 1]") for method in METHODS],
        *[(f"executor/{method}", "[3, 2, 1]") for method in METHODS],
    ],
)
def test_children_hear_signals_and_end(children: Site, path: str, result: str) -> None:
    for _ in range(2):
        assert children.ask(f"/path/{path}").text == result


def test_a_child_gets_no_descriptors_but_the_standard_ones(children: Site) -> None:
    body = bytes(200_000)  # spooled to a temporary file
    response = children.ask("/path/descriptors", method="POST", body=body)
    assert response.text.split() == ["0", "1", "2", "3"]


def _site(serve: Serve) -> HostSite:
    # One second: the child that os.fork() leaves is joined by nothing.
    files = [APPS / "children.py"]
    return serve("host", files=files, MOUNTS="/path=children:app", WORKERS=1, THREADS=2)


def _leave(site: Site, ways: list[str]) -> None:
    for way in ways:
        assert site.ask(f"/path/leave/{way.replace(' ', '%20')}").text == way


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_worker_started_ends_with_it(serve: Serve, number: signal.Signals) -> None:
    site = _site(serve)
    _leave(site, WAYS)
    until(lambda: len(left(site)) == len(WAYS), "all of them")
    os.kill(int(site.ask("/path/").text), number)
    assert until(lambda: not left(site), "the end of all of them")
    # And a new worker does the same.
    until(lambda: site.ask("/path/").status == 200, "a new worker")
    _leave(site, ["Popen"])
    assert len(left(site)) == 1


def test_what_a_worker_started_ends_when_the_master_is_killed(serve: Serve) -> None:
    site = _site(serve)
    _leave(site, ["Popen", "os.fork", "one that ignores SIGTERM"])
    until(lambda: len(left(site)) == 3, "all of them")
    psutil.Process(int(site.ask("/path/").text)).parent().kill()
    assert until(lambda: not left(site), "the end of all of them")


def test_all_that_was_started_ends_with_the_instance_daemons_too(serve: Serve) -> None:
    site = _site(serve)
    _leave(site, [*WAYS, DAEMON])
    until(lambda: len(left(site)) == len(WAYS) + 1, "all of them")
    site.signal(signal.SIGTERM)
    site.wait()
    assert until(lambda: not left(site), "the end of all of them")


def test_a_child_that_waits_does_not_keep_a_stop_waiting(serve: Serve) -> None:
    site = serve(
        "host",
        files=[APPS / "children.py"],
        MOUNTS="/path=children:app",
        WORKERS=1,
        THREADS=2,
        REQUEST_TIMEOUT=100,
    )
    _leave(site, WAYS)
    site.signal(signal.SIGTERM)
    assert site.wait(60) == 0
