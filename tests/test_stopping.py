"""`python -m deploy serve` begins and ends as a whole, and two can run at once."""

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import KNOBS, HostSite, Serve, until


def test_it_says_where_it_serves_once_it_really_does(serve: Serve) -> None:
    mounts = "/path=yourapplication:app /a/b=yourapplication:create_app()"
    site = serve("host", MOUNTS=mounts)
    said = until(lambda: "stop with Ctrl-C\n" in site.logs() and site.logs(), "the last line")
    for mount, target in (word.split("=") for word in mounts.split()):
        assert f"Serving {target} at http://localhost:{site.port}{mount}/\n" in said
        assert site.ask(f"{mount}/").status == 200
    assert f"\n  Data:      {site.folder / 'instance'}\n" in said
    assert "\n  Status:    python3 -m deploy status\n" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_in_flight_is_answered_and_then_nothing_is_left(
    serve: Serve, number: signal.Signals
) -> None:
    site = serve("host", WORKERS=2, THREADS=2)
    processes = site.processes()
    path = "/path/events?count=3&interval=0.5"
    with site.client() as client, client.stream("GET", path) as response:
        events = (line for line in response.iter_lines() if line)
        next(events)  # now it surely is in flight
        site.signal(number)
        assert len(list(events)) == 2, site.logs()
    assert site.wait() == 0, site.logs()
    _, left = psutil.wait_procs(processes, timeout=60)
    assert not left
    assert len(processes) > 4, "serve, two workers and their master, nginx"
    assert not [file for file in (site.folder / ".run").rglob("*") if file.is_socket()]
    with pytest.raises(httpx.ConnectError), site.client() as client:
        client.get("/path/")


def test_a_rollout_ends_with_the_serve_that_runs_it(serve: Serve) -> None:
    site = serve("host", WORKERS=1, THREADS=1, RELEASE_COMMAND="sleep 3600")
    command = [sys.executable, "-m", "deploy", "rollout"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=site.folder, env=site.environment, **streams) as rollout:
        until(lambda: "RELEASE_COMMAND: sleep" in rollout.stdout.readline(), "the release step")
        processes = site.processes()
        site.signal(signal.SIGKILL)
        site.wait()
        said, _ = rollout.communicate()
    assert "`serve` ended during the rollout" in said
    _, left = psutil.wait_procs(processes, timeout=60)
    assert not left, site.logs()
    site.start()
    assert site.ask("/path/").status == 200


@pytest.mark.parametrize("program", ["uwsgi", "nginx"])
def test_when_one_server_ends_so_does_the_other(serve: Serve, program: str) -> None:
    site = serve("host")
    processes = site.processes()
    # The first in the order of their start. nginx's parent is the script that filters its log.
    master = next(p for p in processes if p.name() == program)
    master.kill()
    assert site.wait() == 1
    assert "one of the servers ended" in site.logs()
    _, left = psutil.wait_procs(processes, timeout=60)
    assert not left


def test_two_run_from_one_folder_with_a_run_dir_for_each(serve: Serve) -> None:
    first = serve("host")
    second = serve("host", beside=first, RUN_DIR="other", SECRET_KEY="another one")
    for site in (first, second):
        assert site.ask("/path/inspect").json()["host"] == f"127.0.0.1:{site.port}"
    for run_dir in (".run", "other"):
        assert (first.folder / run_dir / "sockets" / "live.sock").is_socket()
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert first.ask("/path/").status == 200


def test_it_writes_nothing_outside_its_run_dir_and_data_dir(serve: Serve, tmp_path: Path) -> None:
    site = HostSite(RUN_DIR=tmp_path / "run", DATA_DIR=tmp_path / "data")
    before = set(site.folder.rglob("*"))
    with site:
        with site.client() as client:
            client.post("/path/upload", content=bytes(5_000_000)).raise_for_status()
        after = {file for file in site.folder.rglob("*") if "__pycache__" not in file.parts}
    assert {file.name for file in after - before} == {f"{site.port}.log"}


class Detached(HostSite):
    """A site that a script has started in the background, by `nohup`."""

    def command(self) -> list[str]:
        """The command in a shell that ignores what such a script ignores."""
        return ["sh", "-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh", *super().command()]


def test_signals_that_were_ignored_at_the_start_still_reload_and_stop_it() -> None:
    with Detached(WORKERS=1, THREADS=2, env_file="MAX_BODY_SIZE=1m\n") as site:
        processes = site.processes()
        site.signal(signal.SIGHUP)
        (site.folder / ".env").write_text("MAX_BODY_SIZE=1k\n")
        until((site.folder / ".run" / "control").exists, "serve to take commands")
        rollout = [sys.executable, "-m", "deploy", "rollout"]
        subprocess.run(rollout, cwd=site.folder, env=site.environment, check=True)
        until(
            lambda: site.ask("/path/", method="POST", body=bytes(2000)).status == 413, "the limit"
        )
        site.signal(signal.SIGTERM)
        assert site.wait() == 0
        _, left = psutil.wait_procs(processes, timeout=60)
        assert not left


def test_it_starts_again_after_it_was_killed(serve: Serve) -> None:
    site = serve("host")
    processes = site.processes()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends with `serve`
            process.kill()
    site.wait()
    psutil.wait_procs(processes, timeout=60)
    site.start()
    assert site.ask("/path/").status == 200


def test_it_listens_where_it_is_told_to_and_nowhere_else(shared_site: Serve) -> None:
    site = shared_site("host", WORKERS=4, THREADS=4)
    connections = [c for p in site.processes() for c in p.net_connections("inet")]
    listening = {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", site.port)}
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.2", site.port)), "it listens at every address"
    assert KNOBS["HTTP_ADDRESS"] == "127.0.0.1", "the default must not be open to the network"


def test_its_socket_is_for_its_own_user_and_group(shared_site: Serve) -> None:
    sockets = shared_site("host", WORKERS=4, THREADS=4).folder / ".run" / "sockets"
    assert sockets.stat().st_mode & 0o777 == 0o750
    assert (sockets / "live.sock").stat().st_mode & 0o777 == 0o660
