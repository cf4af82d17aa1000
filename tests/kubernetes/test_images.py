"""The images as a pod starts them: with few settings, and limits of its own."""

import subprocess
import sys

import httpx
import pytest

from tests.servers import Serve, until


@pytest.mark.docker
@pytest.mark.slow
def test_nginxs_image_has_the_defaults_and_takes_the_cpus_of_its_limit(images: str) -> None:
    rendered = (
        "grep --recursive --no-filename '^ *\\(worker_proc\\|server_name\\|keepalive_t\\)' nginx"
    )
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "--no-healthcheck", "--cpus=0.5"),
            *("--env=SERVER_NAMES=example.com", "--env=MOUNTS=/shop=shop:app"),
            *("--entrypoint=sh", f"{images}-nginx", "-c"),
            f"/etc/nginx/bundle/start.sh /run/web -t && cd /run/web && {rendered}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = set(map(str.strip, done.stdout.splitlines()))
    assert {"worker_processes 1;", "server_name example.com;", "keepalive_time 3600s;"} <= lines


def test_a_connection_is_closed_after_its_lifetime_and_this_is_announced(
    shared_site: Serve,
) -> None:
    site = shared_site("host", CONNECTION_LIFETIME=1)
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=site.url, trust_env=False, timeout=60, limits=limits) as client:

        def announced() -> bool:
            return client.get("/path/").headers.get("Connection") == "close"

        until(announced, "the end of the connection")


def test_liveness_asks_the_master_only(shared_site: Serve) -> None:
    site = shared_site("host", CONNECTION_LIFETIME=1)
    socket = next((site.folder / ".run" / "sockets").glob("*.stats"))
    check = (
        "import socket, sys; socket.gethostname = lambda: sys.argv[1];"
        "from deploy.server import health; sys.exit(health.check_master())"
    )

    def alive(instance: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", check, instance],
            cwd=site.folder,
            env=site.environment | {"RUN_DIR": str(site.folder / ".run")},
            capture_output=True,
            text=True,
            check=False,
        )

    assert alive(socket.stem).returncode == 0
    none = alive("none")
    assert none.returncode == 1
    assert "uWSGI's master: no response" in none.stderr
