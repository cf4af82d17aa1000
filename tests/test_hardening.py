"""What the CIS Docker Benchmark (1.6) and OWASP's cheat sheet ask of images and containers.

The numbers are the benchmark's. What it asks of hosts and people is theirs; see docs/security.md.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.settings import dockerignore
from tests.servers import PROJECT, ComposeSite, NotServedError, Serve, until

pytestmark = pytest.mark.docker

SERVICES = ["app", "nginx", "certbot"]
OVERLAYS = ["deploy/compose/production.yml", "deploy/compose/acme.yml"]
# A marker that does not occur by chance.
CANARY = "canary-5f0c6a2e91b74d38"
# What lies in a checkout and in an app's package, and no image should have.
STAYS_OUT = [
    *("certificate.pem", "server.key", ".env.production", "cert.p12", "id_rsa", "id_ed25519.pub"),
    *(".envrc", ".netrc", ".pypirc", ".npmrc", "prod.env", "dev.sqlite", "dev.sqlite3-wal", "x.db"),
    *("instance/config.py", "shop/instance/config.py", "sub/secrets/token.txt", "secrets.yml"),
    *(".ssh/config", ".aws/credentials", "google-credentials.json", "shop/client_secret.json"),
    *("shop/.env", "shop/static/.env", "shop/data/dev.sqlite3", "shop/keys/a.pem", "shop/a.key"),
    *("dump.sql", "backup.tar.gz", "notes.txt", "settings.yml", "shop/server.log", "shop/core"),
    *("shop/conf.py.bak", "shop/conf.py~", "shop/.conf.py.swp", "terraform.tfstate", "wallet.kdbx"),
    *(".venv/lib/site.py", "node_modules/a/index.js", "shop/node_modules/a/index.js"),
    *("shop/static/id_dsa", "shop/static/release.keystore", "shop/static/a.p8", "static/a.ppk"),
    *("shop/Secrets/a.json", "shop/SECRETS/a.yml", "shop/Secret.json", "shop/token.json"),
    *("shop/service-account.json", "shop/static/firebase-adminsdk-1.json", "shop/dump-1.sql"),
    *("shop/kubeconfig.yml", "shop/terraform.tfstate.json", "shop/static/htpasswd"),
    *(
        "venv/lib/python3.13/site-packages/a.py",
        ".idea/x.xml",
        ".git/config",
        ".github/a.yml",
        "tests/test_shop.py",
    ),
]
# What an app may need.
GETS_IN = [
    *(
        "tool.py",
        "shop/__init__.py",
        "shop/secrets.py",
        "shop/models/credentials.py",
        "shop/py.typed",
    ),
    *("shop/templates/mail.txt", "shop/templates/a.unknown", "shop/static/b.unknown"),
    *("shop/data/a.json", "shop/data/a.yml", "shop/data/a.csv", "shop/schema.sql", "shop/a.toml"),
    *("shop/translations/de/LC_MESSAGES/messages.mo", "shop/files/a.woff2", "shop/files/a.png"),
    *("migrations/alembic.ini", "migrations/script.py.mako", "migrations/versions/0001.py"),
    *(
        "Procfile",
        "templates/a.html",
        "static/a.css",
        "static/.well-known/security.txt",
        "shop/a.so",
    ),
]
Inspected = dict[str, Any]


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=check,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeSite]:
    """Production with certbot, with a canary in every secret; made, but not started."""
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    folder.mkdir()
    knobs = ("SECRET_KEY_FILE", "DEBUG_PASSWORD_FILE", "TLS_CERTIFICATE", "TLS_KEY")
    for name in knobs:
        (folder / name).write_text(f"{name} {CANARY}\n")
    for name in STAYS_OUT:
        file = folder.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CANARY)
    for name in GETS_IN:
        file = folder.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n" if file.suffix == ".py" else "")
    site = ComposeSite(
        files=[*folder.parent.iterdir()],
        env_file=f"DATABASE_PASSWORD={CANARY}\n",
        COMPOSE_FILE=":".join(["docker-compose.yml", *OVERLAYS]),
        SERVER_NAMES="site.example",
        APP_CPUS=1,
        NGINX_CPUS=1,
        PROCESSES="worker=1",
        PROCESSES_CPUS=1,
        **{name: f"secrets/{name}" for name in knobs},
    )
    try:
        site.compose("build")
        # Not the app's own variables, which are the app's to keep secret: see docs/security.md.
        (site.folder / ".env").unlink()
        site.compose("create")
        yield site
    finally:
        site.clean_up()


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[*SERVICES, "processes"])
def container(site: ComposeSite, request: pytest.FixtureRequest) -> Inspected:
    """What the engine tells of a service's container."""
    (found,) = site.containers(request.param)
    return json.loads(docker("container", "inspect", found).stdout)[0]


# --- Containers ---


def host(name: str) -> Callable[[Inspected], Any]:
    return lambda container: container["HostConfig"][name]


def options(container: Inspected) -> list[str]:
    return container["HostConfig"]["SecurityOpt"]


def mounts(container: Inspected) -> list[Inspected]:
    return container["Mounts"]


def port_bindings(container: Inspected) -> list[tuple[int, str]]:
    found = (container["HostConfig"]["PortBindings"] or {}).items()
    return [(int(port.split("/")[0]), at["HostIp"]) for port, many in found for at in many]


RULES: dict[str, Callable[[Inspected], bool]] = {
    "4.1 a user without rights, by number": lambda container: bool(
        re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", container["Config"]["User"])
    ),
    "4.6 a health check": lambda container: bool(container["Config"]["Healthcheck"]["Test"]),
    "5.4 no capabilities": lambda container: (
        host("CapDrop")(container) == ["ALL"] and not host("CapAdd")(container)
    ),
    "5.5 not privileged": lambda container: not host("Privileged")(container),
    "5.6 and 5.32 of the host only secrets, to read": lambda container: all(
        mount["Destination"].startswith("/run/secrets/") and not mount["RW"]
        for mount in mounts(container)
        if mount["Type"] != "volume"
    ),
    "5.8 no privileged port": lambda container: all(
        port >= 1024 for port, _ in port_bindings(container)
    ),
    "5.10 and 5.30 a network of its own": lambda container: host("NetworkMode")(container).endswith(
        "_default"
    ),
    "5.11 limited memory": lambda container: host("Memory")(container) > 0,
    "5.12 a share of the processors": lambda container: host("NanoCpus")(container) > 0,
    "5.13 read-only root": host("ReadonlyRootfs"),
    "5.14 ports at an address that was chosen": lambda container: all(
        address == "127.0.0.1" for _, address in port_bindings(container)
    ),
    # Not on-failure:5, which the benchmark wants: services.production.yml says why.
    "5.15 comes back": lambda container: (
        host("RestartPolicy")(container)["Name"] == "unless-stopped"
    ),
    "5.16 processes of its own": lambda container: host("PidMode")(container) == "",
    "5.17 shared memory of its own": lambda container: host("IpcMode")(container) == "private",
    "5.18 no devices": lambda container: not host("Devices")(container),
    "5.19 no core dumps": lambda container: (
        host("Ulimits")(container) == [{"Name": "core", "Hard": 0, "Soft": 0}]
    ),
    "5.20 mounts stay inside": lambda container: all(
        mount["Propagation"] in ("", "rprivate") for mount in mounts(container)
    ),
    "5.21 a host name of its own": lambda container: host("UTSMode")(container) == "",
    "5.22 the kernel's filters": lambda container: (
        not [
            option for option in options(container) if "unconfined" in option or "disable" in option
        ]
    ),
    "5.26 no new privileges": lambda container: "no-new-privileges:true" in options(container),
    "5.29 limited processes": lambda container: 0 < host("PidsLimit")(container) <= 4096,
    "5.31 users of its own": lambda container: host("UsernsMode")(container) == "",
    "OWASP a log that is rotated": lambda container: (
        host("LogConfig")(container)["Type"] == "local"
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_container_in_production_has(container: Inspected, rule: str) -> None:
    assert RULES[rule](container)


def test_what_was_asked_of_the_engine_holds_inside(shared_site: Serve) -> None:
    running = shared_site("compose", WORKERS=4, THREADS=4)
    for service in ("app", "nginx"):
        # No program of ours: what the first process of the container may do.
        found = running.compose("exec", "-T", service, "cat", "/proc/1/limits", "/proc/1/status")
        assert re.search(r"^Max core file size +0 +0 ", found.stdout, re.MULTILINE), service
        assert re.search(r"^Seccomp:\s2$", found.stdout, re.MULTILINE), service


# --- Images ---

# What each prints is what should not be there. It runs as root, who sees everything.
SEARCHES = {
    "4.8 programs that raise rights": "find / -xdev -type f -perm /6000",
    "package lists": "find /var/lib/apt/lists /var/cache/apt -type f -size +0",
    "files that all users can change": "find / -xdev -type f -perm -0002",
    "directories that all users can write to": "find / -xdev -type d -perm -0002 ! -perm -1000",
    "4.3 what only a build needs": "for p in gcc cc make ld git curl wget; do command -v $p; done",
    "users who can log in": "grep -v -e nologin -e /bin/false -e /bin/sync -e ^root: -e ':/bin/sh$'"
    " /etc/passwd",
    "passwords": "grep -v '^[^:]*:[*!]' /etc/shadow",
}


@pytest.mark.parametrize("what", SEARCHES)
def test_an_image_has_no(site: ComposeSite, service: str, what: str) -> None:
    image = ["--user=0", "--network=none", "--entrypoint=sh", f"{site.name}-{service}"]
    assert docker("run", "--rm", *image, "-c", f"{SEARCHES[what]}; :").stdout == ""


def test_an_image_has_what_the_app_needs_of_the_checkout_and_nothing_else(
    site: ComposeSite,
) -> None:
    command = "--user=0", "--network=none", "--entrypoint=find", f"{site.name}-app"
    options = "-type", "f", "-printf", "%P\\n"

    def within(directory: str) -> set[str]:
        listed = docker("run", "--rm", *command, directory, *options).stdout.splitlines()
        return {name for name in listed if not name.endswith((".pyc", ".br", ".gz"))}

    in_app = within("/app")
    assert in_app >= {*GETS_IN}
    assert not in_app & {*STAYS_OUT}
    # The rest is the sample.
    assert {name.partition("/")[0] for name in in_app - {*GETS_IN}} == {"yourapplication"}
    # What the app's container needs of the bundle.
    bundle = within("/bundle")
    assert {name for name in bundle if not name.endswith(".py")} == {
        "deploy/.release",
        "deploy/defaults.env",
        "deploy/log_relay.pl",
        "deploy/server/metrics/page.css",
        "deploy/server/metrics/page.html",
        "nginx/snippets/fingerprints.conf",
        "uwsgi.ini",
    }
    assert {name.partition("/")[0] for name in bundle} == {"deploy", "nginx", "uwsgi.ini"}


def test_check_reads_the_list_as_docker_does(site: ComposeSite) -> None:
    patterns = dockerignore.read(PROJECT / ".dockerignore")
    assert [name for name in STAYS_OUT if dockerignore.gets_in(name, patterns)] == []
    assert [name for name in GETS_IN if not dockerignore.gets_in(name, patterns)] == []


# --- Secrets ---


def test_no_secret_is_in_an_image(site: ComposeSite, service: str) -> None:
    image = f"{site.name}-{service}"
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        rest = b""
        size = 0
        while block := saved.stdout.read(1 << 20):
            assert CANARY.encode() not in rest + block
            rest = block[-len(CANARY) :]
            size += len(block)
    assert saved.returncode == 0
    assert size > 50_000_000, "this was not the image with its layers"
    assert CANARY not in docker("history", "--no-trunc", image).stdout


def test_no_secret_is_told_by_docker_inspect(site: ComposeSite, service: str) -> None:
    (container,) = site.containers(service)
    for told in (container, f"{site.name}-{service}"):
        assert CANARY not in docker("inspect", told).stdout


# --- The socket's folder ---


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        (
            "{}",
            "/run/web/sockets has mode 0755, and write access to a socket in it is code execution",
        ),
        (
            "{driver_opts: {o: 'uid=10001,gid=10001,mode=2777'}}",
            "/run/web/sockets has mode 2777, and write access to a socket in it is code execution",
        ),
        (
            "{driver_opts: {o: 'uid=10002,gid=10001,mode=2770'}}",
            "/run/web/sockets belongs to user 10002, who could put another app there",
        ),
    ],
    ids=["without options", "open", "of another user"],
)
def test_a_volume_for_sockets_that_is_mounted_in_another_way_is_refused(
    tmp_path: Path, volume: str, sentence: str
) -> None:
    override = tmp_path / "mistake.yml"
    if volume == "{}":
        override.write_text(
            "services: {app: {volumes: ['plain:/run/web/sockets']}}\nvolumes: {plain: {}}\n"
        )
    else:
        override.write_text(f"services: {{}}\nvolumes: {{sockets: {volume}}}\n")
    site = ComposeSite(files=[override], COMPOSE_FILE="docker-compose.yml:mistake.yml", WORKERS=1)
    with pytest.raises(NotServedError) as caught:
        site.__enter__()
    said = str(caught.value)
    assert f"deploy: {sentence}" in said
    assert "Starting uWSGI" not in said


# --- Users from nowhere ---


def test_users_that_are_assigned_at_random_serve_the_app(serve: Serve) -> None:
    override = Path(__file__).with_name("any-user.yml")
    site = serve("compose", files=[override], COMPOSE_FILE=f"docker-compose.yml:{override.name}")
    response = site.ask("/path/inspect")
    assert response.json()["path"] == "/inspect"
    assert site.ask("/path/static/style.css").status == 200
    large = bytes(3_000_000)  # more than nginx and uWSGI keep in memory
    response = site.ask("/path/inspect", method="POST", body=large)
    assert response.json()["body_length"] == len(large)
    for service, user in (("app", 1234567), ("nginx", 7654321)):
        said = site.compose("exec", "-T", service, "cat", "/proc/1/status").stdout
        assert re.search(rf"^Uid:\s{user}\s.*\nGid:\s0\s", said, re.MULTILINE)
    stat = "stat -L -c '%u %g %a' /run/web/sockets /run/web/sockets/live.sock"
    said = site.compose("exec", "-T", "nginx", "sh", "-c", stat).stdout
    assert said == "0 0 2770\n1234567 0 660\n"


def test_a_pod_with_one_empty_volume_serves_the_app_as_a_random_user(site: ComposeSite) -> None:
    """As OpenShift runs two containers side by side: one user, and one group more for volumes."""
    name = f"{site.name}-pod"
    power = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp"]
    power += ["--user=1234567:0", "--group-add=1000620000", f"--volume={name}:/run/web:nocopy"]
    knobs = ["--env-file", str(PROJECT / "deploy" / "defaults.env"), "--env=RUN_DIR=/run/web"]
    tmpfs = ["--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=gid=1000620000,mode=2777"]
    docker("volume", "create", *tmpfs, name)
    try:
        for service in ("app", "nginx"):
            image = f"{site.name}-{service}"
            docker("run", "--detach", f"--name={name}-{service}", *power, *knobs, image)
        healthy = ["exec", f"{name}-nginx", "/etc/nginx/bundle/health.sh", "/run/web"]
        until(lambda: docker(*healthy, check=False).returncode == 0, "a response through nginx", 60)
        stat = ["stat", "-L", "-c", "%a", "/run/web/sockets", "/run/web/sockets/live.sock"]
        assert docker("exec", f"{name}-nginx", *stat).stdout == "2750\n660\n"
    finally:
        for service in ("app", "nginx"):
            docker("rm", "--force", f"{name}-{service}", check=False)
        docker("volume", "rm", name, check=False)
