"""`python -m deploy check` says what is wrong or unwise, and how to mend it; errors bar a start.

Each test makes a real situation in a copy of the bundle: real files, certificates, nginx and apt.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import trustme

from deploy.checks import images
from deploy.checks.finding import UnseenError
from tests.rollout.conftest import remove
from tests.servers import PROJECT, ComposeSite, HostSite, NotServedError, free_port, until

GOOD, UNWISE, WRONG = 0, 1, 2
KEY = "a key that only the tests know"
# With a container engine, an answer of it may take seconds on a busy machine.
SECONDS = 60


class Bundle:
    """A copy of the bundle that is not served, and whose knobs are wise."""

    def __init__(self, site: HostSite) -> None:
        self.site = site
        self.folder = site.folder
        site.environment |= {"SECRET_KEY": KEY, "WORKERS": "1", "MAX_BODY_SIZE": "1k"}
        # As on a machine without an engine; those tests that need one take this away.
        site.environment["DOCKER_HOST"] = "unix:///nowhere"
        # As on a machine with the newest nginx: an apt that knows no archive knows no newer one.
        apt = site.folder / "apt.conf"
        apt.write_text(f'Dir::State::lists "{site.folder / ".apt"}/";')
        site.environment["APT_CONFIG"] = str(apt)

    def check(self, *words: str, python: str = sys.executable, **knobs: object) -> tuple[int, str]:
        """Type `python -m deploy check`; its exit status, and what it says."""
        done = subprocess.run(
            [*python.split(), "-m", "deploy", "check", *words],
            cwd=self.folder,
            env=self.site.environment | {name: str(value) for name, value in knobs.items()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        # nginx itself warns of a network that is everybody.
        assert all("[warn]" in line for line in done.stderr.splitlines()), done.stderr
        return done.returncode, done.stdout

    def finds(self, severity: str, *parts: str, **knobs: object) -> None:
        """Check that it finds just one thing, whose sentence has these parts and a mend."""
        status, said = self.check("--strict", **knobs)
        assert len(said.splitlines()) == 2, said
        sentence, looked = said.splitlines()
        assert sentence.startswith(severity), said
        assert all(part in sentence for part in (*parts, ";")), said
        assert looked.startswith("Looked at: settings"), said
        assert status == (WRONG if severity == "error" else UNWISE)

    def write(self, file: str, old: str, new: str) -> None:
        """Replace a part of a file, as somebody does who edits it."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    site = HostSite()
    yield Bundle(site)
    site.clean_up()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Write a certificate for site.example, valid between these days from now, as knobs."""

    def write(begins: float = -1, ends: float = 90) -> dict[str, object]:
        now = datetime.now(UTC)
        made = authority.issue_cert(
            *("site.example", "*.site.example"),
            not_before=now + timedelta(days=begins),
            not_after=now + timedelta(days=ends, minutes=5),
        )
        files = {"TLS_CERTIFICATE": tmp_path / "certificate.pem", "TLS_KEY": tmp_path / "key.pem"}
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        files["TLS_CERTIFICATE"].write_bytes(chain)
        files["TLS_KEY"].write_bytes(made.private_key_pem.bytes())
        more = {"HTTPS_PORT": free_port(), "SERVER_NAMES": "site.example", "HSTS_SECONDS": 300}
        return files | more

    return write


# --- Nothing to say ---


def test_a_healthy_bundle_is_silent(bundle: Bundle) -> None:
    for words in ((), ("--strict",)):
        status, said = bundle.check(*words)
        assert status == GOOD
        assert said.startswith("All is well. Looked at: settings, uwsgi.ini, nginx, "), said
        assert len(said.splitlines()) == 1


def test_a_healthy_bundle_with_tls_in_production_is_silent(
    bundle: Bundle, certificate: Callable
) -> None:
    status, said = bundle.check("--strict", ENVIRONMENT="production", **certificate())
    assert status == GOOD, said
    assert said.startswith("All is well. Looked at: settings, uwsgi.ini, certificate, nginx"), said


def test_looking_changes_nothing(bundle: Bundle) -> None:
    before = sorted(bundle.folder.rglob("*"))
    bundle.check()
    assert [
        path for path in sorted(bundle.folder.rglob("*")) if "__pycache__" not in str(path)
    ] == (before)


def test_warnings_alone_are_told_and_forgiven(bundle: Bundle) -> None:
    status, said = bundle.check(SECRET_KEY="")
    assert status == GOOD
    assert said.startswith("warning  SECRET_KEY"), said
    assert "Not at: containers (no engine answers here)." in said


SCHEDULERS = {
    "a loop in a thread": (
        "threading.Thread(target=time.sleep, args=[60], daemon=True)",
        "time.sleep",
    ),
    "a timer": ("threading.Timer(60, print)", "builtins.print"),
    "a class": ("type('Clock', (threading.Thread,), {'run': lambda _: time.sleep(9)})()", "Clock"),
}


@pytest.mark.parametrize(("thread", "name"), SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_scheduler_that_would_run_in_each_worker_is_told(
    bundle: Bundle, thread: str, name: str
) -> None:
    lines = f"import threading, time\n{thread}.start()\napp = print\n"
    (bundle.folder / "scheduled.py").write_text(lines)
    mounts = {"MOUNTS": "/path=scheduled:app", "APP_MEMORY": "1g"}
    bundle.finds("warning", name, "runs 2 times", "WORKERS is 2", WORKERS=2, **mounts)


def test_a_scheduler_that_would_run_in_no_worker_is_told(bundle: Bundle) -> None:
    lines = "import threading\nthreading.Timer(60, print).start()\napp = print\n"
    (bundle.folder / "scheduled.py").write_text(lines)
    knobs = {"MOUNTS": "/path=scheduled:app"}
    bundle.finds("warning", "never runs", "LOAD_APPS=once", LOAD_APPS="once", **knobs)
    assert bundle.check(**knobs)[1].startswith("All is well."), "one worker runs it once"


def test_an_app_that_cannot_be_loaded_is_told(bundle: Bundle) -> None:
    (bundle.folder / "broken.py").write_text("1 / 0\n")
    bundle.finds("error", "'broken:app' cannot be loaded", MOUNTS="/path=broken:app")


def test_errors_come_first(bundle: Bundle) -> None:
    bundle.write("uwsgi.ini", "listen = 1024", "listen = 65535")
    status, said = bundle.check(SECRET_KEY="")
    assert status == WRONG
    assert [line.split()[0] for line in said.splitlines()] == ["error", "warning", "Looked"]


# --- Settings ---


def test_what_the_knobs_refuse_is_an_error(bundle: Bundle) -> None:
    status, said = bundle.check(THREADS="many")
    assert status == WRONG
    assert said.startswith("error    THREADS is 'many'; write a whole number"), said


@pytest.mark.parametrize(
    ("knobs", "parts"),
    [
        ({"SECRET_KEY": ""}, ["SECRET_KEY is ''", "openssl rand -hex 32"]),
        ({"SECRET_KEY": "short"}, ["SECRET_KEY has fewer than 20 bytes", "openssl rand -hex 32"]),
        ({"SECRET_KEY": "change-me-change-me-now"}, ["SECRET_KEY is one that stands in examples"]),
        ({"HTTP_ADDRESS": "0.0.0.0"}, ["SERVER_NAMES is ''", "'0.0.0.0'", "example.com"]),
        ({"TRUSTED_PROXIES": "10.0.0.1 0.0.0.0/0"}, ["TRUSTED_PROXIES is '10.0.0.1 0.0.0.0/0'"]),
        ({"TRUSTED_PROXIES": "::/0"}, ["TRUSTED_PROXIES is '::/0'", "name the addresses"]),
        ({"TRUSTED_PROXIES": "0.0.0.0/1 128.0.0.0/1"}, ["a large part of the Internet"]),
        ({"WORKERS": 900, "THREADS": 1}, ["WORKERS is 900", "leave WORKERS empty"]),
        ({"UWSGI_DEBUG": 1, "ENVIRONMENT": "staging"}, ["UWSGI_DEBUG is on", "'staging'"]),
        (
            {"UWSGI_DEBUG": 1, "TRUSTED_PROXIES": "127.0.0.1", "DEBUG_ALLOW": "10.0.0.0/8"},
            ["UWSGI_DEBUG is on", "leave UWSGI_DEBUG empty"],
        ),
        (
            {"UWSGI_DEBUG": 1, "HTTP_ADDRESS": "::", "SERVER_NAMES": "a.b", "DEBUG_ALLOW": "::1"},
            ["UWSGI_DEBUG is on", "'::'"],
        ),
        ({"FLASK_DEBUG": 1, "ENVIRONMENT": "staging"}, ["FLASK_DEBUG is on", "'staging'"]),
    ],
    ids=str,
)
def test_an_unwise_setting_is_a_warning(bundle: Bundle, knobs: dict, parts: list[str]) -> None:
    bundle.finds("warning", *parts, **knobs)


def test_the_debugger_on_ones_own_machine_is_fine(bundle: Bundle) -> None:
    for name in ("UWSGI_DEBUG", "FLASK_DEBUG"):
        status, said = bundle.check("--strict", **{name: 1})
        assert status == GOOD, said


def test_a_debugger_that_everybody_may_use_is_an_error(bundle: Bundle) -> None:
    bundle.finds(
        "error", "UWSGI_DEBUG is on", "'0.0.0.0/0'", UWSGI_DEBUG=1, DEBUG_ALLOW="0.0.0.0/0"
    )


# --- Files that somebody has edited ---


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("listen = 1024", "listen = 65535", ["listen is 65535", "somaxconn", "sysctl"]),
        ("$(REQUEST_TIMEOUT)", "30", ["worker-reload-mercy is 30", "REQUEST_TIMEOUT is 60"]),
        ("worker-reload-mercy = $(REQUEST_TIMEOUT)\n", "", ["worker-reload-mercy is 60", "is 90"]),
        ("chmod-socket = 660", "chmod-socket = 666", ["chmod-socket is 666", "chmod-socket = 660"]),
        ("chmod-socket = 660\n", "", ["chmod-socket is 755", "chmod-socket = 660"]),
    ],
)
def test_what_is_wrong_in_uwsgi_ini_is_an_error(
    bundle: Bundle, old: str, new: str, parts: list[str]
) -> None:
    bundle.write("uwsgi.ini", old, new)
    bundle.finds("error", *parts, REQUEST_TIMEOUT=90 if "is 90" in parts[-1] else 60)


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("uwsgi.ini", "no-orphans", "harakiri = 9\nno-orphans", ["harakiri is 9", "take it out"]),
        ("uwsgi.ini", "socket-timeout = 30\n", "", ["send_timeout is 30s", "socket-timeout is 4"]),
        (
            "nginx/server.conf.template",
            "${REQUEST_TIMEOUT}s",
            "20s",
            ["uwsgi_read_timeout is 20s", "REQUEST_TIMEOUT is 60"],
        ),
        ("nginx/snippets/limits.conf", "send_timeout 30s", "send_timeout 2m", ["timeout is 2m"]),
        (
            "nginx/outside.conf",
            "404",
            "302 http://localhost$uri",
            ["gixy's http_splitting", "nginx/mounts/outside.conf line 3", "see https://"],
        ),
    ],
)
def test_what_no_longer_goes_together_is_a_warning(
    bundle: Bundle, file: str, old: str, new: str, parts: list[str]
) -> None:
    bundle.write(file, old, new)
    bundle.finds("warning", *parts)


def test_what_nginx_does_not_take_is_an_error(bundle: Bundle) -> None:
    bundle.write("nginx/nginx.conf", "sendfile on;", "sendfile on; nonsense on;")
    bundle.finds("error", 'unknown directive "nonsense"', "nginx.conf:")


# --- The certificate ---


@pytest.mark.parametrize(
    ("begins", "ends", "severity", "part"),
    [
        (-90, -1, "error", "which expired on"),
        (1, 90, "error", "which is not valid before"),
        (-80, 13, "warning", "which expires in 13 days"),
    ],
)
def test_a_certificate_that_is_not_good_now_is_told(
    bundle: Bundle, certificate: Callable, begins: int, ends: int, severity: str, part: str
) -> None:
    bundle.finds(severity, "TLS_CERTIFICATE", part, **certificate(begins, ends))


def test_a_certificate_with_enough_time_left_is_fine(bundle: Bundle, certificate: Callable) -> None:
    status, said = bundle.check("--strict", **certificate(-70, 15))
    assert status == GOOD, said


def test_a_key_of_another_pair_is_an_error(
    bundle: Bundle, certificate: Callable, authority: trustme.CA
) -> None:
    knobs = certificate()
    other = authority.issue_cert("site.example").private_key_pem
    knobs["TLS_KEY"].write_bytes(other.bytes())
    bundle.finds("error", "TLS_KEY", "key values mismatch", **knobs)


def test_a_missing_certificate_is_an_error(bundle: Bundle, certificate: Callable) -> None:
    knobs = certificate()
    knobs["TLS_CERTIFICATE"].unlink()
    bundle.finds("error", "TLS_CERTIFICATE", "which cannot be read", **knobs)


def test_a_name_that_the_certificate_does_not_cover_is_a_warning(
    bundle: Bundle, certificate: Callable
) -> None:
    knobs = certificate() | {"SERVER_NAMES": "site.example *.site.example shop.example"}
    bundle.finds("warning", "SERVER_NAMES has 'shop.example'", **knobs)


# --- This machine ---


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter. Tests' usual ones are closed to others."""
    folder = Path("/var/tmp") / f"check{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_key_that_everybody_on_this_machine_reads_is_a_warning(
    bundle: Bundle, certificate: Callable, open_folder: Path
) -> None:
    knobs = certificate()
    for name in ("TLS_CERTIFICATE", "TLS_KEY"):
        knobs[name] = Path(shutil.copy(knobs[name], open_folder))
    knobs["TLS_KEY"].chmod(0o644)
    bundle.finds("warning", "TLS_KEY", "every user of this machine", "chmod 700", **knobs)
    open_folder.chmod(0o700)  # the way of docs/tls.md
    status, said = bundle.check("--strict", **knobs)
    assert status == GOOD, said


def test_a_secret_key_in_a_file_that_everybody_reads_is_a_warning(
    bundle: Bundle, open_folder: Path
) -> None:
    (open_folder / "key").write_text(KEY)
    (open_folder / "key").chmod(0o644)
    knobs = {"SECRET_KEY": "", "SECRET_KEY_FILE": open_folder / "key"}
    bundle.finds("warning", "SECRET_KEY_FILE", str(open_folder / "key"), "chmod 700", **knobs)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"SECRET_KEY={KEY}", True),
        ("DATABASE_URL=postgresql://shop:hidden@db/shop", True),
        ("STRIPE_API_KEY=sk_123", True),
        ("WORKERS=1", False),
        ("SECRET_KEY=", False),
        ("DATABASE_URL=sqlite:////tmp/shop.db", False),
    ],
)
def test_env_with_a_secret_that_everybody_reads_is_a_warning(
    bundle: Bundle, line: str, secret: bool
) -> None:
    (bundle.folder / ".env").write_text(f"{line}\n")
    (bundle.folder / ".env").chmod(0o644)
    bundle.folder.chmod(0o755)
    if secret:
        bundle.finds("warning", ".env has a secret in it", "type: chmod 600")
        (bundle.folder / ".env").chmod(0o600)
    status, said = bundle.check("--strict")
    assert status == GOOD, said


def test_a_folder_of_sockets_that_others_enter_is_an_error(bundle: Bundle) -> None:
    sockets = bundle.folder / ".run" / "sockets"
    sockets.mkdir(parents=True, mode=0o750)
    (bundle.folder / ".run" / "lock").touch()  # of `serve`
    assert bundle.check()[0] == GOOD
    sockets.chmod(0o757)
    bundle.finds("error", str(sockets), "mode 0757", "chmod 2750")


def test_a_run_dir_that_others_can_replace_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "run").mkdir()
    (bundle.folder / "run").chmod(0o777)
    bundle.finds("error", "RUN_DIR", "mode 0777", "chmod o-w", RUN_DIR=bundle.folder / "run/here")
    (bundle.folder / "run").chmod(0o1777)  # as /tmp, where nobody can replace what is another's
    assert bundle.check(RUN_DIR=bundle.folder / "run/here")[0] == GOOD


def test_a_run_dir_that_cannot_be_written_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "file").touch()
    bundle.finds("error", "RUN_DIR", "cannot be written", RUN_DIR=bundle.folder / "file" / "run")


def test_a_run_dir_of_somebody_else_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "etc" / "nginx").mkdir(parents=True)
    bundle.finds("error", "RUN_DIR", "somebody else", RUN_DIR=bundle.folder / "etc")


def test_a_disk_without_room_for_bodies_is_a_warning(bundle: Bundle) -> None:
    bundle.finds("warning", "MAX_BODY_SIZE is '1000g'", "make room", MAX_BODY_SIZE="1000g")


def test_an_nginx_that_is_too_old_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    old = tmp_path / "nginx"
    old.write_text("#!/bin/sh\necho 'nginx version: nginx/1.18.0' >&2\n")
    old.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    bundle.finds("error", "nginx 1.18, which is too old", "install 1.22", PATH=path)


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt on this machine")
@pytest.mark.parametrize("label", ["Debian-Security", "Debian"])
def test_an_nginx_with_a_security_update_is_a_warning(
    bundle: Bundle, tmp_path: Path, label: str
) -> None:
    # A real apt, that believes to have an old nginx and knows one archive with a newer one.
    package = "Package: nginx\nArchitecture: amd64\nMaintainer: m\nDescription: d\n"
    archive = tmp_path / "archive"
    archive.mkdir()
    wanted = f"{package}Version: 1.22.1-9+deb12u99\nFilename: nginx.deb\nSize: 1\n"
    (archive / "Packages").write_text(f"{wanted}SHA256: {'0' * 64}\n")
    (archive / "Release").write_text(f"Origin: Debian\nLabel: {label}\nSuite: stable\n")
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    status = tmp_path / "status"
    status.write_text(f"{package}Version: 1.22.1-9\nStatus: install ok installed\n")
    (tmp_path / "etc" / "sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State "{tmp_path}/state"; Dir::Cache "{tmp_path}/cache"; Dir::Etc "{tmp_path}/etc";'
        f' Dir::State::status "{status}"; APT::Architecture "amd64"; APT::Sandbox::User "";'
    )
    config = {"APT_CONFIG": str(tmp_path / "apt.conf")}
    updated = subprocess.run(
        ["apt-get", "update"], env=os.environ | config, capture_output=True, text=True, check=False
    )
    assert updated.returncode == 0, updated.stderr
    if label == "Debian-Security":
        parts = ["nginx is 1.22.1-9, and 1.22.1-9+deb12u99", "apt-get install --only-upgrade nginx"]
        bundle.finds("warning", *parts, **config)
    else:
        assert bundle.check("--strict", **config)[0] == GOOD


# --- Before a start ---


@contextlib.contextmanager
def refused(site: HostSite) -> Iterator[list[str]]:
    """The lines of a `serve` that starts nothing."""
    with pytest.raises(NotServedError, match="It ended with 2"):
        site.start()
    yield site.logs().splitlines()
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(site.folder):
                left.append(process)
    assert not left
    assert not (site.folder / ".run").exists()


def test_serve_starts_nothing_with_an_error(bundle: Bundle) -> None:
    bundle.write("uwsgi.ini", "chmod-socket = 660", "chmod-socket = 666")
    with refused(bundle.site) as lines:
        assert len(lines) == 1
        assert lines[0].startswith("deploy: chmod-socket is 666 in uwsgi.ini")


def test_warnings_bar_no_start(bundle: Bundle) -> None:
    bundle.site.environment |= {"SECRET_KEY": "short"}
    bundle.site.start()
    assert bundle.site.ask("/path/").status == 200


def test_an_expired_certificate_is_told_and_served_since_a_new_one_may_come_that_way(
    bundle: Bundle, certificate: Callable
) -> None:
    knobs = certificate(-90, -1)
    bundle.site.environment |= {name: str(value) for name, value in knobs.items()}
    bundle.site.start()
    assert "which expired on" in bundle.site.logs()
    challenge = bundle.folder / ".run" / "acme" / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    asked = bundle.site.ask("/.well-known/acme-challenge/token", {"Host": "site.example"})
    assert asked.text == "proof"


def test_a_rollout_starts_nothing_with_an_error(bundle: Bundle) -> None:
    site = bundle.site
    site.start()
    until((bundle.folder / ".run" / "control").exists, "serve to take commands")
    before = site.workers()
    bundle.write("uwsgi.ini", "chmod-socket = 660", "chmod-socket = 666")
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "rollout"],
        cwd=bundle.folder,
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("deploy: chmod-socket is 666"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert site.workers() == before
    assert site.ask("/path/").status == 200


def test_a_site_that_is_served_is_healthy(bundle: Bundle) -> None:
    bundle.site.start()
    until((bundle.folder / ".run" / "control").exists, "serve to take commands")
    status, said = bundle.check("--strict")
    assert status == GOOD, said
    assert "containers" not in said


# --- Containers ---


@pytest.fixture
def by_engine(bundle: Bundle) -> Bundle:
    """With the engine that there is."""
    del bundle.site.environment["DOCKER_HOST"]
    return bundle


@pytest.mark.docker
@pytest.mark.parametrize(
    ("service", "lines", "severity", "parts"),
    [
        ("app", "stop_grace_period: 20s", "error", ["stop_grace_period of app is 20s", "is 60"]),
        ("nginx", "stop_grace_period: 1m", "error", ["stop_grace_period of nginx is 1m0s"]),
        (
            "nginx",
            "environment: {REQUEST_TIMEOUT: 10}",
            "error",
            ["REQUEST_TIMEOUT is '60' for app and '10' for nginx", "set it in .env"],
        ),
        ("nginx", "nonsense: 1", "error", ["Compose cannot read its files", "nonsense"]),
    ],
)
def test_an_overlay_that_breaks_a_promise_is_told_without_any_package(
    by_engine: Bundle, service: str, lines: str, severity: str, parts: list[str]
) -> None:
    overlay = by_engine.folder / "overlay.yml"
    overlay.write_text(f"services:\n  {service}:\n    {lines}\n")
    by_engine.site.environment["COMPOSE_FILE"] = "docker-compose.yml:overlay.yml"
    # Without the packages in requirements.txt, as on a machine that has containers alone.
    status, said = by_engine.check(python=f"{sys.executable} -S")
    assert status == WRONG
    sentences = [line for line in said.splitlines() if line.startswith(severity)]
    assert all(part in sentences[0] for part in parts), said
    assert said.splitlines()[-1] == "Looked at: containers."


@pytest.mark.docker
def test_containers_that_are_as_delivered_are_fine(
    by_engine: Bundle, certificate: Callable
) -> None:
    knobs = certificate() | {"COMPOSE_FILE": "docker-compose.yml:deploy/compose/production.yml"}
    status, said = by_engine.check("--strict", python=f"{sys.executable} -S", **knobs)
    assert (status, said) == (GOOD, "All is well. Looked at: containers.\n")


@pytest.mark.docker
def test_the_certificate_of_containers_is_looked_at_without_any_package(
    by_engine: Bundle, certificate: Callable
) -> None:
    python = f"{sys.executable} -S"
    status, said = by_engine.check(python=python, **certificate(-90, -1))
    assert (status, "which expired on" in said) == (WRONG, True), said


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rollout_in_containers_starts_nothing_with_an_error() -> None:
    site = ComposeSite(SECRET_KEY=KEY, WORKERS=1, MAX_BODY_SIZE="1k")
    site.environment["COMPOSE_PROJECT_NAME"] = site.name
    python = f"{sys.executable} -S"
    try:
        bundle = Bundle(site)
        del site.environment["DOCKER_HOST"]
        site.start()
        assert bundle.check("--strict", python=python)[0] == GOOD

        # What the app says in its container, with the settings as they are now.
        status, said = bundle.check("--strict", python=python, WORKERS=900, THREADS=1)
        assert (status, "WORKERS is 900" in said) == (UNWISE, True), said
        memory = {"WORKER_MEMORY": "100m", "APP_MEMORY": "90m"}
        status, said = bundle.check("--strict", python=python, **memory)
        assert (status, "more than the 90m in all" in said) == (UNWISE, True), said

        before = site.containers()
        for change, part in (
            ({"DEBUG_ALLOW": "0.0.0.0/0", "UWSGI_DEBUG": "1"}, "DEBUG_ALLOW is '0.0.0.0/0'"),
            ({"THREADS": "many"}, "THREADS is 'many'"),
        ):
            done = subprocess.run(
                [*python.split(), "-m", "deploy", "rollout"],
                cwd=site.folder,
                env=site.environment | change,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == WRONG, done.stderr
            assert part in done.stderr.splitlines()[-1], done.stderr
            assert site.containers() == before
            assert site.ask("/path/").status == 200
    finally:
        remove(site)


def test_files_that_git_has_and_an_image_lacks_are_named(tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".dockerignore", tmp_path)
    for name in ("shop/__init__.py", "shop/model.bin", "shop/other.bin", "README.md", ".gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UnseenError):
        list(images.look(tmp_path))
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (found,) = images.look(tmp_path)
    assert found.sentence == (
        "shop/model.bin and 1 more of Git's files stay out of the images; if the app reads them,"
        " add a line such as !shop/*.bin to .dockerignore, else the line shop/*.bin."
    )
    with (tmp_path / ".dockerignore").open("a") as file:
        file.write("!shop/*.bin\n")
    assert list(images.look(tmp_path)) == []
    with (tmp_path / ".dockerignore").open("a") as file:
        file.write("shop/*.bin\n")
    assert list(images.look(tmp_path)) == []
