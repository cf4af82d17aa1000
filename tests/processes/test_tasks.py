"""Celery and APScheduler over rollouts under load: no task is lost, and no tick runs twice.

ROLLOUTS=10 is how docs/processes.md was measured.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from tests.rollout.conftest import Shop, remove
from tests.rollout.load import Load
from tests.rollout.test_killed import kill_a_rollout
from tests.rollout.test_release_step import pinned
from tests.servers import ComposeSite, HostSite, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="install redis-server"),
]

APPS = Path(__file__).parent / "apps"
ROLLOUTS = int(os.environ.get("ROLLOUTS", "1"))
REQUESTS = 300  # before and after each rollout
NEEDS = ("amqp", "apscheduler", "async-timeout", "billiard", "celery", "click-didyoumean")
NEEDS += ("click-plugins", "click-repl", "kombu", "packaging", "prompt-toolkit", "python-dateutil")
NEEDS += ("redis", "six", "typing-extensions", "tzdata", "tzlocal", "vine", "wcwidth")
# Redis's socket is in a directory of this machine.
OVERLAY = """\
services:
  app: {volumes: ["${REDIS}:/redis:ro"]}
  processes: {volumes: ["${REDIS}:/redis:ro"]}
"""
IN_CONTAINERS = pytest.mark.parametrize(
    "jobs", [pytest.param("compose", marks=pytest.mark.docker)], indirect=True
)


class Jobs(Shop):
    """A shop with a worker, a beat and a clock, and what Redis has of them."""

    def __init__(self, site: ComposeSite | HostSite, redis: Redis) -> None:
        super().__init__(site, lambda: "")
        self._redis = redis

    def write(self) -> str:
        self.version += 1
        text = (APPS / "jobs.py").read_text()
        text = text.replace('VERSION = "0"', f'VERSION = "{self.version}"')
        (self.site.folder / "jobs.py").write_text(text)
        return str(self.version)

    def rollout(self, *words: str) -> None:
        status, said = self.deploy("rollout", *words)
        assert status == 0, said + self.site.logs("processes")

    def list(self, name: str) -> list[str]:
        return [line.decode() for line in self._redis.lrange(name, 0, -1)]

    def wait_until_all_run(self) -> None:
        """Wait until the beat and the clock of the current version have run."""
        for name in ("ticks", "beats sent"):
            until(
                lambda name=name: any(
                    line.split()[1] == str(self.version) for line in self.list(name)
                ),
                f"{name} of version {self.version}; the log:\n{self.site.logs()}",
                seconds=180,
            )

    def judge(self, load: Load) -> None:
        assert not load.failed, load.summary()
        # Celery may run a task twice that it receives while it stops: at least once is its promise.
        until(lambda: not load.miscounted({*self.list("counted")}), "the last task", 180)

        def ran() -> bool:
            sent = {line.split()[-1] for line in self.list("beats sent")}
            return sent <= {*self.list("beats run")}

        until(ran, "the last task of the beat", 180)
        for name in ("ticks", "beats sent"):
            lines = [line.split() for line in self.list(name)]
            assert_one_after_the_other([(float(line[0]), line[2]) for line in lines])
        assert max(Counter(line.split()[0] for line in self.list("ticks")).values()) == 1


def assert_one_after_the_other(events: list[tuple[float, str]]) -> None:
    """Each process has all of its events before or after those of any other."""
    spans = [
        (min(times), max(times))
        for who in {who for _, who in events}
        if (times := [time for time, by in events if by == who])
    ]
    spans.sort()
    assert all(one[1] < next[0] for one, next in itertools.pairwise(spans)), spans


@contextmanager
def redis_server() -> Iterator[tuple[Path, Redis]]:
    """A Redis at a unix socket, for containers as well, and its directory."""
    directory = Path(tempfile.mkdtemp(prefix="redis"))
    directory.chmod(0o755)
    options = ["--port", "0", "--unixsocket", f"{directory}/socket", "--unixsocketperm", "777"]
    options += ["--save", "", "--dir", str(directory)]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as server:
        try:
            until((directory / "socket").exists, "Redis")
            yield directory, Redis(unix_socket_path=f"{directory}/socket")
        finally:
            server.terminate()
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=["host", pytest.param("compose", marks=pytest.mark.docker)])
def jobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    lines = [
        "MOUNTS=/path=jobs:app",
        "WORKERS=2",
        "THREADS=4",
        "PROCESSES='worker=2 beat=1 clock=1'",
    ]
    files = [APPS / "jobs.py", APPS / "Procfile"]
    with redis_server() as (directory, redis):
        if request.param == "host":
            lines.append(f"REDIS_SOCKET={directory}/socket")
            with HostSite(files=files, env_file="\n".join([*lines, ""])) as site:
                until((site.folder / ".run" / "control").exists, "serve to take commands")
                yield Jobs(site, redis)
            return
        lines.append("REDIS_SOCKET=/redis/socket")
        site = ComposeSite(files=files, env_file="\n".join([*lines, ""]), REDIS=str(directory))
        site.environment |= {
            "COMPOSE_FILE": "docker-compose.yml:redis.yml",
        }
        (site.folder / "redis.yml").write_text(OVERLAY)
        with (site.folder / "yourapplication" / "requirements.txt").open("a") as requirements:
            requirements.writelines(pinned(*NEEDS))
        try:
            site.start()
            yield Jobs(site, redis)
        finally:
            remove(site)


def test_over_rollouts_no_task_is_lost_and_no_tick_runs_twice(jobs: Jobs) -> None:
    with Load(jobs.site.port) as load:
        for _ in range(ROLLOUTS):
            load.until(len(load.requests) + REQUESTS)
            jobs.write()
            jobs.rollout()
            jobs.wait_until_all_run()
        load.until(len(load.requests) + REQUESTS)
    tasks = jobs.list("counted")
    print(load.summary(), f"{len(tasks)} tasks, {len(tasks) - len({*tasks})} of them twice,")
    print(f"{len(jobs.list('beats run'))} beats, {len(jobs.list('ticks'))} ticks")
    jobs.judge(load)


@IN_CONTAINERS
def test_a_rollout_that_is_killed_leaves_one_clock(jobs: Jobs, tmp_path: Path) -> None:
    with Load(jobs.site.port) as load:
        load.until(REQUESTS)
        image = f"{jobs.site.name}-app:latest"
        assert kill_a_rollout(jobs, tmp_path, "*--force-recreate*", image)
        jobs.write()
        jobs.rollout()
        jobs.wait_until_all_run()
        load.until(len(load.requests) + REQUESTS)
    jobs.judge(load)


@IN_CONTAINERS
def test_a_process_that_ends_fails_the_healthcheck_and_not_the_web(jobs: Jobs) -> None:
    site = jobs.site
    assert isinstance(site, ComposeSite)
    test = site.compose("config", "--format", "json").stdout
    healthcheck = json.loads(test)["services"]["processes"]["healthcheck"]["test"][1]

    def healthy() -> bool:
        command = "exec", "-T", "processes", "sh", "-c", healthcheck
        return site.compose(*command, check=False).returncode == 0

    assert healthy()
    procfile = site.folder / "Procfile"
    before = procfile.read_text()
    procfile.write_text(before.replace("python jobs.py", "echo none; exit 3"))
    version = jobs.write()
    status, said = jobs.deploy("rollout")
    sentence = r"clock\.1 ended with exit status 3 after \d+ s and is restarted in"
    assert status == 1, said
    assert re.search(f"The release is live, but its processes are not healthy: {sentence}", said)
    assert not healthy()
    assert re.search(sentence, jobs.deploy("status")[1])
    assert "clock.1 | none\n" in site.logs("processes")
    assert jobs.serves() == version


@IN_CONTAINERS
def test_without_processes_there_is_no_container_for_them(jobs: Jobs) -> None:
    assert isinstance(jobs.site, ComposeSite)
    (jobs.site.folder / "Procfile").write_text((APPS / "Procfile").read_text())
    env_file = jobs.site.folder / ".env"
    env_file.write_text(env_file.read_text().replace("PROCESSES=", "#"))
    jobs.write()
    jobs.rollout()
    assert jobs.site.containers("processes") == []
