"""The Procfile's processes beside a site: names, logs, restarts, stops, and one at a time."""

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.rollout.conftest import Shop
from tests.servers import HostSite, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = Path(__file__).parent / "apps" / "steps.py"
PROCFILE = """\
# As in foreman's documentation.
web: gunicorn shop:app
worker: python steps.py go
Mail-2_x: cd instance && echo "$SHOP in $PWD with $(command -v python)" && exec sleep 1000
odd: printf 'half a line'; sleep 1000
release: echo "$SHOP is released" | tr a-z A-Z
"""


def site_with(procfile: str, processes: str, **knobs: str | int) -> HostSite:
    """A site with this Procfile, not yet started."""
    settings = {"WORKERS": 1, "THREADS": 2, "PROCESSES": processes} | knobs
    site = HostSite(files=[STEPS], env_file="SHOP=ours\n", **settings)
    (site.folder / "Procfile").write_text(procfile)
    return site


def notes(site: HostSite) -> list[str]:
    path = site.folder / "instance" / "notes"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with site_with(PROCFILE, "worker=2 Mail-2_x=1") as site:
        until((site.folder / ".run" / "control").exists, "serve to take commands")
        yield Shop(site, lambda: "")


def test_each_line_of_the_log_has_the_name_of_its_process(shop: Shop) -> None:
    for name in ("worker.1", "worker.2"):
        until(lambda name=name: f"{name} | ready\n" in shop.site.logs(), f"a line of {name}")


def test_a_command_has_the_apps_environment_and_a_shell(shop: Shop) -> None:
    python = Path(sys.executable).parent / "python"
    line = f"Mail-2_x.1 | ours in {shop.site.folder}/instance with {python}\n"
    until(lambda: line in shop.site.logs(), line)


def test_a_line_that_is_not_run_is_named_at_the_start(shop: Shop) -> None:
    said = shop.site.logs()
    assert "deploy: The Procfile's web is ignored, since uWSGI serves MOUNTS; " in said
    assert "deploy: The Procfile has odd, not run since PROCESSES is 'worker=2 Mail-2_x=1';" in said


def test_a_rollout_replaces_each_process_when_it_has_exited(shop: Shop) -> None:
    site = shop.site
    rollout = shop.command("rollout")
    # The web does not wait for the processes.
    until(lambda: notes(site).count("worker.1 stops") == 1, "a stop", 180)
    until(lambda: "worker.1 waits until its predecessor has exited." in site.logs(), "a line")
    assert site.ask("/path/").status == 200
    assert notes(site).count("worker.1 begins") == 1
    (site.folder / "instance" / "go").touch()
    said, _ = rollout.communicate(timeout=240)
    assert rollout.returncode == 0, said
    assert "\nOURS IS RELEASED\n" in said
    (site.folder / "instance" / "go").unlink()
    lines = [line for line in notes(site) if line.startswith("worker.1 ")]
    assert lines == [f"worker.1 {what}" for what in ("begins", "stops", "ends", "begins")]


def test_a_process_that_ends_at_once_is_restarted_more_and_more_rarely(shop: Shop) -> None:
    site = shop.site
    (site.folder / "instance" / "go").touch()
    procfile = site.folder / "Procfile"
    procfile.write_text(PROCFILE.replace("cd instance &&", "exit 3;"))
    status, said = shop.deploy("rollout")
    sentence = r"Mail-2_x.1 ended with exit status 3 after \d+ s and is restarted in (\d+) s; "
    assert status == 1, said
    assert re.search(f"deploy: the new instance is live, but {sentence}", said), said
    until(lambda: re.findall(sentence, site.logs())[:2] == ["2", "4"], "two restarts")
    assert site.ask("/path/").status == 200
    status, said = shop.deploy("status")
    assert status == 0, said
    assert re.search(f"^{sentence}", said, re.MULTILINE), said


def test_a_stop_waits_for_the_processes_and_kills_those_that_do_not_end() -> None:
    commands = "good: python steps.py go\nshell: python steps.py go; true\n"
    commands += "stubborn: python steps.py never\n"
    knobs = {"PROCESSES_STOP_TIMEOUT": 8, "LOG_FORMAT": "json"}
    with site_with(commands, "good=1 shell=1 stubborn=1", **knobs) as site:
        until(lambda: sum("begins" in line for line in notes(site)) == 3, "three processes")
        (site.folder / "instance" / "go").touch()
        processes = site.processes()
        site.signal(signal.SIGTERM)
        assert site.wait() == 0, site.logs()
        _, left = psutil.wait_procs(processes, timeout=60)
        assert not left
        ends = sorted(line for line in notes(site) if "begins" not in line)
        assert ends == ["good.1 ends", "good.1 stops", *ends[2:]]
        assert ends[2:] == ["shell.1 ends", "shell.1 stops", "stubborn.1 stops"]
        lines = [json.loads(line) for line in site.logs().splitlines()]
        said = {(line.get("process"), line.get("message")) for line in lines}
        assert said >= {(name, "ready") for name in ("good.1", "shell.1", "stubborn.1")}


def test_after_a_kill_of_serve_the_next_one_waits_for_its_processes() -> None:
    with site_with("clock: python steps.py go\n", "clock=1") as site:
        until(lambda: notes(site) == ["clock.1 begins"], "the clock")
        others = [p for p in site.processes() if p.name() in {"nginx", "uwsgi"}]
        site.signal(signal.SIGKILL)
        site.wait()
        psutil.wait_procs(others, timeout=60)
        site.start()
        until(lambda: "clock.1 waits until its predecessor has exited." in site.logs(), "a line")
        assert notes(site) == ["clock.1 begins", "clock.1 stops"]
        (site.folder / "instance" / "go").touch()
        until(lambda: len(notes(site)) == 4, "the next clock")
        assert notes(site)[2:] == ["clock.1 ends", "clock.1 begins"]
