"""`python -m deploy status` and `recycle`: what workers do, and where they are."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.conftest import Measured
from tests.servers import until


def state(measured: Measured, *options: str) -> dict[str, Any]:
    """The live instance."""
    done = measured.deploy("status", "--json", *options)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["instances"]
    return row["instance"]


def requests(measured: Measured) -> list[dict[str, Any]]:
    return [one for worker in state(measured)["workers"] for one in worker["requests"]]


def test_status_shows_what_a_thread_does_and_for_how_long_without_the_query(
    measured: Measured,
) -> None:
    with measured.in_flight("?token=secret") as path:

        def found() -> dict[str, Any] | None:
            line = f"GET {path}"
            return next((r for r in requests(measured) if r["line"] == line and r["seconds"]), None)

        request = until(found, "a request that has run for a second")
        assert len(request["id"]) == 32
        said = measured.deploy("status").stdout
        assert request["line"] in said
        assert request["id"] in said
        assert "secret" not in said + measured.deploy("status", "--json").stdout


def test_status_shows_latency_and_the_last_errors(measured: Measured) -> None:
    response = measured.site.ask("/path/second/fail/order?token=secret")
    assert response.status == 500
    id = response.headers["X-Request-ID"]
    said = until(lambda: (text := measured.deploy("status").stdout) and id in text and text, id)
    line = next(line for line in said.splitlines() if id in line)
    assert "  500  " in line
    assert "  GET /path/second/fail/order  " in line
    assert "secret" not in said
    assert "p50 MS  p95 MS  p99 MS" in said
    exporter = json.loads(measured.deploy("status", "--json").stdout)["exporter"]
    assert exporter["errors"][0]["id"] == id


def test_stacks_are_shown_without_ptrace(measured: Measured) -> None:
    with measured.in_flight():
        until(lambda: requests(measured), "a request")
        said = measured.deploy("status", "--stacks").stdout
        assert "measured.py" in said
        assert "in wait" in said
        # Neither this bundle's own threads nor those that wait for a request.
        assert "guard.py" not in said
        assert said.count("most recent call first") == 1


def test_stacks_are_shown_of_a_request_that_holds_the_interpreter(measured: Measured) -> None:
    with ThreadPoolExecutor(1) as client:
        response = client.submit(measured.site.ask, "/path/second/hold")

        def stack() -> bool:
            return any("in hold" in worker["stacks"] for worker in stacked()["workers"])

        def stacked() -> dict[str, Any]:
            return state(measured, "--stacks")

        until(stack, "the stack")
        assert response.result().status == 200


def test_watch_prints_the_state_again_until_ctrl_c(measured: Measured) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "deploy", "status", "--watch"],
        cwd=measured.site.folder,
        env=measured.site.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        seen = ""
        while "BACKLOG LIMIT" not in seen:
            line = watch.stdout.readline()
            assert line, seen
            seen += line
        watch.send_signal(signal.SIGINT)
        watch.stdout.read()
        assert watch.wait(60) == 0
    assert seen.count("LIVE SINCE") == 2


def test_workers_are_recycled_one_after_the_other_without_a_lost_request(
    measured: Measured,
) -> None:
    before = {worker["number"]: worker["pid"] for worker in state(measured)["workers"]}
    with ThreadPoolExecutor(1) as other, measured.in_flight() as path:
        until(lambda: any(r["line"] == f"GET {path}" for r in requests(measured)), "a request")
        done = other.submit(measured.deploy, "recycle")
        assert measured.site.ask("/path/second/").status == 200
    assert done.result().stdout.splitlines() == ["Worker 1 was replaced.", "Worker 2 was replaced."]
    after = {worker["number"]: worker["pid"] for worker in state(measured)["workers"]}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


@pytest.mark.timeout(600)
def test_a_flame_graph_shows_what_a_worker_does(measured: Measured, tmp_path: Path) -> None:
    assert {"busy", "Flask.__call__"} <= measured.flame_graph(tmp_path / "flame.svg")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seconds", "0"), "--seconds is 0; write a number from 1 to 3600."),
        (("3",), "there is no worker 3; write a number from 1 to 2."),
    ],
)
def test_what_cannot_be_profiled_is_one_sentence(
    measured: Measured, words: tuple[str, ...], sentence: str
) -> None:
    done = measured.deploy("profile", *words)
    assert (done.returncode, done.stderr) == (2, f"deploy: {sentence}\n")


@pytest.mark.parametrize("number", ["3", "-1"])
def test_a_worker_that_is_not_there_is_not_recycled(measured: Measured, number: str) -> None:
    done = measured.deploy("recycle", "--", number)
    assert done.returncode == 2
    assert done.stderr == (f"deploy: there is no worker {number}; write a number from 1 to 2.\n")
