"""What only containers promise: little power, a clean beginning, and a clean end."""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from python_on_whales import Container, docker

from tests.servers import PROJECT, ComposeSite, NotServedError, Serve, until

pytestmark = pytest.mark.docker

SERVICES = ["app", "nginx"]


@pytest.fixture(params=SERVICES)
def container(request: pytest.FixtureRequest, shared_site: Serve) -> Container:
    """One of the two containers of the site that is delivered."""
    site = shared_site("compose", WORKERS=4, THREADS=4)
    (name,) = site.containers(request.param)
    return docker.container.inspect(name)


@pytest.fixture(scope="module")
def spare(shared_site: Serve) -> Iterator[ComposeSite]:
    """A site that tests may stop, if they start it again."""
    return shared_site("compose", WORKERS=2, THREADS=2, SECRET_KEY="spare")


def everything_of(site: ComposeSite) -> dict[str, list[Any]]:
    """What the engine has of a site."""
    label = [("label", f"com.docker.compose.project={site.name}")]
    return {
        "containers": docker.container.list(all=True, filters=label),
        "networks": docker.network.list(filters=label),
        "volumes": docker.volume.list(filters=label),
    }


def seconds(duration: str) -> int:
    """The seconds in a duration as Go writes it: `1h2m3s`."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


# --- Little power ---


def test_a_container_has_no_power_that_it_does_not_need(container: Container) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in container.execute(["cat", "/proc/1/status"]).splitlines()
        if ":\t" in line
    )
    users, groups = status["Uid"].split(), status["Gid"].split()
    assert set(users) <= {"10001", "10002"}, "it runs as another user"
    assert set(groups) == {"10001"}
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"] == "1"


def test_a_container_cannot_change_what_it_runs(container: Container) -> None:
    assert container.host_config.readonly_rootfs
    places = "/ /app /bundle /venv /etc /etc/nginx/bundle /var /run"
    script = f'for place in {places}; do if [ -w "$place" ]; then echo "$place"; fi; done'
    assert container.execute(["sh", "-c", script]) == ""


def test_a_container_has_limits_and_a_log_that_does_not_fill_the_disk(container: Container) -> None:
    assert container.host_config.memory > 0
    assert container.host_config.pids_limit > 0
    assert container.host_config.log_config.type == "local", "this is the driver that rotates"


def test_both_containers_are_healthy_when_up_returns(container: Container) -> None:
    assert container.state.health.status == "healthy"


def test_only_nginx_is_published_and_only_on_this_machine(shared_site: Serve) -> None:
    site = shared_site("compose", WORKERS=4, THREADS=4)
    app, nginx = (docker.container.inspect(*site.containers(service)) for service in SERVICES)
    assert not any((app.network_settings.ports or {}).values())
    ports = nginx.network_settings.ports.values()
    published = [binding for many in ports for binding in many or ()]
    assert published == [{"HostIp": "127.0.0.1", "HostPort": str(site.port)}]


def test_only_the_apps_user_makes_sockets_and_only_its_group_uses_them(shared_site: Serve) -> None:
    site = shared_site("compose", WORKERS=4, THREADS=4)
    for service in SERVICES:
        stat = "stat -L -c '%u %g %a' /run/web/sockets /run/web/sockets/live.sock"
        said = site.compose("exec", "-T", service, "sh", "-c", stat).stdout
        assert said == "10001 10001 2750\n10001 10001 660\n", service
    script = "touch /run/web/sockets/x || touch /run/web/static/x"
    assert site.compose("exec", "-T", "nginx", "sh", "-c", script, check=False).returncode


def test_the_users_are_the_same_in_the_dockerfile_and_the_compose_file() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    services = (PROJECT / "deploy" / "compose" / "services.yml").read_text()
    users = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    app, nginx, certbot, postgres, redis, prometheus, alertmanager = users
    assert alertmanager == prometheus
    assert re.findall(r"--uid (\d+)", dockerfile) == [user for user, _ in users]
    assert certbot == nginx, "one writes the key that the other reads"
    assert app[1] == nginx[1]
    assert set(re.findall(r"--gid (\d+)", dockerfile)) == {group for _, group in users}
    assert len({app, nginx, postgres, redis, prometheus}) == 5
    owners = re.findall(r"uid=(\d+),gid=(\d+),mode=(\d+)", services)
    assert sorted(owners) == sorted([(*app, "2750"), (*app, "2770"), (*nginx, "0700")])


# --- What a compromised app may leave, and how much ---


def test_what_a_container_of_the_app_wrote_is_not_served_by_the_next(spare: ComposeSite) -> None:
    script = (
        "mkdir -p /run/web/static/live/other && cd /run/web/static/live/path"
        " && echo bad | tee login ../other/page static/style.css static/x.0a1b2c3d.js"
        " $(dirname /run/web/tmp/*/.)/bad /run/web/tmp/bad /tmp/bad >/run/web/static/bad"
        " && rm static/style.css.*"
    )
    spare.compose("exec", "-T", "app", "sh", "-c", script)
    planted = ["/path/login", "/path/static/x.0a1b2c3d.js"]
    assert {spare.ask(target).text for target in planted} == {"bad\n"}
    spare.compose("up", "--force-recreate", "--detach", "--wait")
    assert {spare.ask(target).status for target in planted} == {404}
    style = (PROJECT / "yourapplication" / "static" / "style.css").read_bytes()
    assert spare.ask("/path/static/style.css").body == style
    found = spare.compose("exec", "-T", "app", "find", "/run/web/static", "/run/web/tmp", "/tmp")
    assert "bad" not in found.stdout


def test_what_is_in_memory_is_bounded(shared_site: Serve) -> None:
    site = shared_site("compose", WORKERS=4, THREADS=4)
    sizes = {
        ("app", "/tmp"): 64,
        ("app", "/run/web/sockets"): 4,
        ("app", "/run/web/metrics"): 64,
        ("nginx", "/run/web/sockets"): 4,
        ("nginx", "/run/web/nginx"): 16,
    }
    for (service, place), size in sizes.items():
        said = site.compose("exec", "-T", service, "stat", "-fc", "%T %b %S", place).stdout.split()
        assert (said[0], int(said[1]) * int(said[2])) == ("tmpfs", size * 1024**2), place
    # Uploads and other temporary files are on disk.
    script = "tr '\\0' '\\n' </proc/1/environ | sed -n 's/^TMPDIR=//p' | xargs stat -fc %T"
    assert site.compose("exec", "-T", "app", "sh", "-c", script).stdout not in {"", "tmpfs\n"}


# --- The end ---


@pytest.mark.slow
def test_a_request_in_flight_survives_docker_stop(spare: ComposeSite) -> None:
    path = "/path/events?count=3&interval=1"
    with spare.client() as client, client.stream("GET", path) as response:
        events = (line for line in response.iter_lines() if line)
        next(events)  # now it surely is in flight
        spare.compose("stop")
        assert len(list(events)) == 2, spare.logs()
    for service in SERVICES:
        state = docker.container.inspect(*spare.containers(service)).state
        assert state.exit_code == 0, service
    spare.start()


@pytest.mark.slow
def test_nginx_says_503_while_there_is_no_app_and_finds_the_next_one(spare: ComposeSite) -> None:
    spare.compose("stop", "app")
    response = spare.ask("/path/")
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert spare.ask("/path/static/style.css").status == 200, "this needs no app"
    spare.compose("up", "--detach", "--wait", "app")
    assert spare.ask("/path/").status == 200, "nginx had to be told"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_watch_replaces_the_container_when_a_file_of_the_app_changes(tmp_path: Path) -> None:
    text = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef page(): return %r\n"
    (tmp_path / "watched.py").write_text(text % "first")
    site = ComposeSite(files=[tmp_path / "watched.py"], MOUNTS="/path=watched:app", WORKERS=1)
    said = tmp_path / "watch.log"

    def responds_with(page: str) -> bool:
        try:
            return site.ask("/path/").text == page
        except (OSError, http.client.HTTPException):
            return False

    try:
        site.start()
        with said.open("w") as log:
            watch = subprocess.Popen(
                ["docker", "compose", "--project-name", site.name, "watch"],
                cwd=site.folder,
                env=site.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: "atch enabled" in said.read_text(), "the watch", 300)
            until(lambda: responds_with("first"), "the app")
            (site.folder / "watched.py").write_text(text % "second")
            until(lambda: responds_with("second"), "the new container", 300)
        finally:
            watch.terminate()
            watch.wait(120)
    finally:
        site.clean_up()


def test_down_leaves_nothing_behind(serve: Serve) -> None:
    site = serve("compose", WORKERS=1)
    before = everything_of(site)
    assert {what: len(found) for what, found in before.items()} == {
        "containers": 2,
        "networks": 1,
        "volumes": 7,
    }
    site.compose("down", "--volumes")
    assert everything_of(site) == {"containers": [], "networks": [], "volumes": []}


@pytest.mark.parametrize("timeout", [1, 60, 3600])
def test_docker_waits_longer_than_any_request_may_take(timeout: int) -> None:
    site = ComposeSite(REQUEST_TIMEOUT=timeout)
    try:
        config = json.loads(site.compose("config", "--format", "json").stdout)
    finally:
        site.clean_up()
    for service in SERVICES:
        assert seconds(config["services"][service]["stop_grace_period"]) > timeout


# --- A beginning that fails ---


def test_an_app_that_breaks_at_its_start_ends_its_container_at_once(tmp_path) -> None:
    (tmp_path / "broken.py").write_text("raise ConnectionError('no database')\n")
    site = ComposeSite(files=[tmp_path / "broken.py"], MOUNTS="/path=broken:app")
    try:
        site.compose("build")
        with pytest.raises(NotServedError):
            site.compose("up", "--wait")
        (app,) = (docker.container.inspect(name) for name in site.containers("app"))
        assert (app.state.status, app.state.exit_code) == ("exited", 2)
        said = app.logs()
        assert "ConnectionError: no database" in said
        assert "'broken:app' cannot be loaded" in said
        nginx = [docker.container.inspect(name) for name in site.containers("nginx")]
        assert not [container for container in nginx if container.state.running]
    finally:
        site.clean_up()


@pytest.mark.slow
def test_an_app_that_breaks_later_is_not_healthy(serve: Serve, tmp_path) -> None:
    (tmp_path / "moody.py").write_text(
        "from flask import Flask\n"
        "app = Flask(__name__)\n"
        "broken = False\n"
        "@app.get('/')\n"
        "def page():\n"
        "    return 'broken' if broken else 'well', 500 if broken else 200\n"
        "@app.post('/break')\n"
        "def break_it():\n"
        "    global broken\n"
        "    broken = True\n"
        "    return 'done'\n"
    )
    site = serve("compose", files=[tmp_path / "moody.py"], MOUNTS="/=moody:app", WORKERS=1)
    asked = site.compose("exec", "-T", "app", "python", "-m", "deploy", "health")
    assert asked.returncode == 0
    assert site.ask("/break", method="POST", body=b"now").text == "done"
    asked = site.compose("exec", "-T", "app", "python", "-m", "deploy", "health", check=False)
    assert (asked.returncode, asked.stderr) == (1, "/: the app responds with 500\n")
