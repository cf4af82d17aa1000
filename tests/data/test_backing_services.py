"""PostgreSQL and Redis in containers: deploy/compose/postgres.yml and redis.yml."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.data.test_data import commands, type_in
from tests.data.test_sample_database import SETTINGS, keep, kept, rollout
from tests.rollout.conftest import remove
from tests.servers import PROJECT, ComposeSite, NotServedError, until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

SERVERS = ["postgres", "redis"]
FILES = ":".join(["docker-compose.yml", "deploy/compose/postgres.yml", "deploy/compose/redis.yml"])
PASSWORDS = {
    "POSTGRES_PASSWORD": "0123456789abcdef-postgres",
    "REDIS_PASSWORD": "0123456789abcdef-redis",
}
# With the variables that the app has, and no library: a command to Redis, after the password.
ASK_REDIS = """
import os, socket, sys, urllib.parse
url = urllib.parse.urlsplit(os.environ["REDIS_URL"])
with socket.create_connection((url.hostname, url.port), 10) as connection:
    stream = connection.makefile("rwb")
    for line in [f"AUTH {url.password}"] * (sys.argv[1] == "AUTH"), [" ".join(sys.argv[2:])]:
        for command in line:
            stream.write(f"{command}\\r\\n".encode())
            stream.flush()
            said = stream.readline()
            if said.startswith(b"$") and not said.startswith(b"$-1"):
                said = stream.readline()
    print(said.decode().strip())
"""
ASK_POSTGRES = """
import os, sys, psycopg
url = os.environ["DATABASE_URL"].replace(*sys.argv[1:3])
with psycopg.connect(url, connect_timeout=10) as connection:
    print(connection.execute(sys.argv[3]).fetchone()[0])
"""


class Backed(ComposeSite):
    """The sample with PostgreSQL and Redis."""

    def __init__(self) -> None:
        release = SETTINGS["RELEASE_COMMAND"]
        lines = [f"{name}={value}" for name, value in PASSWORDS.items()]
        lines += [f"COMPOSE_FILE={FILES}", f"RELEASE_COMMAND='{release}'", "WORKERS=2", "THREADS=4"]
        super().__init__(env_file="\n".join([*lines, ""]))
        self.environment.pop("DATABASE_URL", None)
        self.environment.pop("REDIS_URL", None)

    def redis(self, *words: str, login: str = "AUTH") -> str:
        return self.python(ASK_REDIS, login, *words)

    def postgres(self, sql: str, old: str = "", new: str = "") -> str:
        return self.python(ASK_POSTGRES, old, new, sql)

    def python(self, script: str, *words: str) -> str:
        """Run it in the app's container."""
        done = self.compose("exec", "-T", "app", "python", "-c", script, *words, check=False)
        return done.stdout.strip() or done.stderr

    def inspect(self, service: str) -> dict[str, Any]:
        (container,) = self.containers(service)
        return json.loads(docker("container", "inspect", container).stdout)[0]


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=check,
    )


@pytest.fixture(scope="module")
def site() -> Iterator[Backed]:
    site = Backed()
    try:
        rollout(site)  # the first start: it migrates a database that did not run before
        yield site
    finally:
        remove(site)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return request.param


# --- Little power ---


def test_a_server_has_no_power_that_it_does_not_need(site: Backed, server: str) -> None:
    found = site.inspect(server)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Type"] == "local"
    assert found["State"]["Health"]["Status"] == "healthy"
    assert not found["NetworkSettings"]["Ports"] or not any(
        found["NetworkSettings"]["Ports"].values()
    )
    script = "cat /proc/1/status; for place in / /etc /usr /var /run /var/lib; do"
    script += ' if [ -w "$place" ]; then echo "writable: $place"; fi; done'
    said = site.compose("exec", "-T", server, "sh", "-c", script).stdout
    user = {"postgres": "10003", "redis": "10004"}[server]
    assert set(re.search(r"^Uid:\t(.*)$", said, re.M)[1].split("\t")) == {user}
    assert set(re.search(r"^Gid:\t(.*)$", said, re.M)[1].split("\t")) == {user}
    assert set(re.findall(r"^Cap\w+:\t(\w+)$", said, re.M)) == {"0" * 16}
    assert "NoNewPrivs:\t1" in said
    assert "writable" not in said


def test_only_the_app_is_in_a_servers_network(site: Backed, server: str) -> None:
    network = f"{site.name}_{server}"
    (found,) = json.loads(docker("network", "inspect", network).stdout)
    assert found["Internal"]
    assert set(found["Containers"]) == {*site.containers("app"), *site.containers(server)}
    assert set(site.inspect(server)["NetworkSettings"]["Networks"]) == {network}
    assert set(site.inspect("nginx")["NetworkSettings"]["Networks"]) == {f"{site.name}_default"}


def test_a_wrong_password_is_rejected(site: Backed) -> None:
    assert site.postgres("SELECT 1") == "1"
    wrong = PASSWORDS["POSTGRES_PASSWORD"], "wrong"
    assert "password authentication failed" in site.postgres("SELECT 1", *wrong)
    assert "no pg_hba.conf entry" in site.postgres("SELECT 1", "//app:", "//postgres:")
    assert site.redis("PING") == "+PONG"
    assert site.redis("PING", login="no").startswith("-NOAUTH")


def test_the_app_is_no_superuser(site: Backed) -> None:
    assert site.postgres("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "False"
    assert "permission denied" in site.postgres("SELECT pg_read_file('/etc/passwd')")


# --- Data ---


def test_the_sample_is_back_after_a_kill_of_the_database(site: Backed) -> None:
    assert keep(site, "before the kill").status_code == 303
    app = site.inspect("app")["State"]
    (postgres,) = site.containers("postgres")
    docker("kill", postgres)
    response = site.ask("/path/entries")
    assert response.status == 503
    assert "The database does not respond." in response.text
    assert site.ask("/path/").status == 200
    docker("start", postgres)
    until(lambda: site.ask("/path/entries").status == 200, "the database", 60)
    # Each worker has had connections from before.
    assert {site.ask("/path/entries").status for _ in range(20)} == {200}, site.logs()
    assert kept(site)[0] == "before the kill"
    assert site.inspect("app")["State"] == app | {"Health": site.inspect("app")["State"]["Health"]}


def test_a_request_after_a_restart_of_the_database_succeeds(site: Backed) -> None:
    # All pooled connections are closed by the server; the very next requests find out.
    assert {site.ask("/path/entries").status for _ in range(20)} == {200}
    site.compose("restart", "postgres")
    until(lambda: site.inspect("postgres")["State"]["Health"]["Status"] == "healthy", "it", 60)
    assert {site.ask("/path/entries").status for _ in range(20)} == {200}, site.logs()


def test_redis_keeps_what_was_written_before_a_kill(site: Backed) -> None:
    assert site.redis("SET", "killed", "7") == "+OK"
    (redis,) = site.containers("redis")
    docker("kill", redis)
    docker("start", redis)
    until(lambda: site.redis("PING") == "+PONG", "Redis", 60)
    assert site.redis("GET", "killed") == "7"


def test_data_outlives_down_and_up(site: Backed) -> None:
    assert keep(site, "before down").status_code == 303
    assert site.redis("SET", "down", "8") == "+OK"
    site.compose("stop")
    for service in SERVERS:
        assert site.inspect(service)["State"]["ExitCode"] == 0, site.logs(service)
    assert "database system is shut down" in site.logs("postgres")
    site.compose("down")
    site.compose("up", "--detach", "--wait")
    assert kept(site)[0] == "before down"
    assert site.redis("GET", "down") == "8"
    assert "not properly shut down" not in site.logs("postgres")


def test_a_backup_is_restored_with_the_commands_of_the_documentation(site: Backed) -> None:
    backup, *restore = commands("Backup and restore of PostgreSQL")
    assert keep(site, "in the backup").status_code == 303
    before = kept(site)
    type_in(site, backup)
    assert keep(site, "after the backup").status_code == 303
    type_in(site, *restore)
    until(lambda: site.ask("/path/entries").status == 200, "the app again", 60)
    assert kept(site) == before
    assert keep(site, "after the restoration").status_code == 303
    assert kept(site)[:2] == ["after the restoration", "in the backup"]


def test_a_changed_password_takes_effect(site: Backed) -> None:
    old, new = PASSWORDS["POSTGRES_PASSWORD"], "another-0123456789abcdef"
    environment = site.environment
    try:
        site.environment = environment | {"POSTGRES_PASSWORD": new}
        site.compose("up", "--detach", "--wait", "postgres")
        assert "password authentication failed" in site.postgres("SELECT 1")
        assert site.postgres("SELECT 1", old, new) == "1"
    finally:
        site.environment = environment
        site.compose("up", "--detach", "--wait", "postgres")
    assert site.postgres("SELECT 1") == "1"


# --- What is rejected ---


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "has fewer than 16 characters"),
        ("short", "has fewer than 16 characters"),
        ("0123456789abcdef@", "has characters other than letters, digits, - and _"),
        ("0123456789abcde'", "has characters other than letters, digits, - and _"),
    ],
)
def test_a_password_that_can_be_guessed_or_breaks_the_url_is_rejected(
    site: Backed, server: str, password: str, reason: str
) -> None:
    name = f"{server.upper()}_PASSWORD"
    image = f"{site.name}-{server}"
    done = docker("run", "--rm", f"--env={name}={password}", image, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name} {reason}; write a random one")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_password_is_rejected_by_compose(site: Backed, server: str) -> None:
    name = f"{server.upper()}_PASSWORD"
    environment = site.environment
    try:
        site.environment = environment | {name: ""}
        with pytest.raises(NotServedError, match=f"{name} is missing a value: write it into .env"):
            site.compose("config")
    finally:
        site.environment = environment


def test_data_of_another_major_version_is_rejected(site: Backed) -> None:
    script = (
        "mkdir /var/lib/postgresql/9 && echo 9 >/var/lib/postgresql/9/PG_VERSION && postgres.sh"
    )
    password = f"--env=POSTGRES_PASSWORD={PASSWORDS['POSTGRES_PASSWORD']}"
    done = docker("run", "--rm", password, f"{site.name}-postgres", "sh", "-c", script, check=False)
    assert done.returncode == 2
    assert re.match(
        r"The volume has data of PostgreSQL 9, and this image is PostgreSQL \d+;", done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


def test_a_first_start_that_was_interrupted_begins_again(site: Backed) -> None:
    script = (
        "mkdir /var/lib/postgresql/$(ls /usr/lib/postgresql).new && postgres.sh -C data_checksums"
    )
    password = f"--env=POSTGRES_PASSWORD={PASSWORDS['POSTGRES_PASSWORD']}"
    done = docker("run", "--rm", password, f"{site.name}-postgres", "sh", "-c", script, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


def test_an_address_of_the_users_own_takes_precedence() -> None:
    site = ComposeSite(
        env_file="DATABASE_URL='postgresql+psycopg://me:pa$word@db/shop'\nREDIS_URL=redis://cache\n",
        COMPOSE_FILE=FILES,
        **PASSWORDS,
    )
    site.environment.pop("DATABASE_URL", None)
    site.environment.pop("REDIS_URL", None)
    try:
        app = json.loads(site.compose("config", "--format", "json").stdout)["services"]["app"]
        given = app["environment"]
        assert given["DATABASE_URL"].replace("$$", "$") == "postgresql+psycopg://me:pa$word@db/shop"
        assert given["REDIS_URL"] == "redis://cache"
    finally:
        site.clean_up()


def test_without_these_files_the_app_has_no_database() -> None:
    services = (PROJECT / "deploy" / "compose" / "services.yml").read_text()
    assert not re.findall("DATABASE_URL|REDIS_URL|postgres|redis", services)
