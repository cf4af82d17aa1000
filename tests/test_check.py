"""`python -m deploy check`: findings with ids and fixes; blocking errors end a start.

Each test runs it in a copy of the bundle, with real files, certificates, nginx and apt.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import trustme

from deploy.commands import images
from deploy.problems import KINDS, Finding, Kind, NotCheckedError, Refusal
from deploy.settings.knobs import check_ignore
from tests.rollout.conftest import remove
from tests.servers import PROJECT, ComposeSite, HostSite, NotServedError, free_port, until

OK, WARNING, ERROR = 0, 1, 2
KEY = "a key that only the tests know"
# A container engine may take seconds to respond on a busy machine.
SECONDS = 60


class Bundle:
    """A copy of the bundle that is not served, and has no findings."""

    def __init__(self, site: HostSite) -> None:
        self.site = site
        self.folder = site.folder
        site.environment |= {"SECRET_KEY": KEY, "WORKERS": "1", "MAX_BODY_SIZE": "1k"}
        # As on a machine without a container engine; tests that need one remove it.
        site.environment["DOCKER_HOST"] = "unix:///nowhere"
        # As on a machine with the newest nginx: apt without package lists has no newer one.
        apt = site.folder / "apt.conf"
        apt.write_text(f'Dir::State::lists "{site.folder / ".apt"}/";')
        site.environment["APT_CONFIG"] = str(apt)

    def check(self, *words: str, python: str = sys.executable, **knobs: object) -> tuple[int, str]:
        """Run `python -m deploy check`; its exit status and output."""
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
        # nginx itself warns of 0.0.0.0/0.
        assert all("[warn]" in line for line in done.stderr.splitlines()), done.stderr
        return done.returncode, done.stdout

    def finds(self, kind: str, *parts: str, **knobs: object) -> None:
        """Check that there is just one finding, of this kind, with these parts and a fix."""
        status, output = self.check("--strict", **knobs)
        assert len(output.splitlines()) == 2, output
        line, summary = output.splitlines()
        severity = "error" if kind.startswith("E") else "warning"
        assert line.startswith(f"{severity:8} {kind}  "), output
        assert all(part in line for part in (*parts, ";")), output
        assert summary.startswith("Checked: settings"), output
        assert status == (ERROR if severity == "error" else WARNING)

    def write(self, file: str, old: str, new: str) -> None:
        """Replace a part of a file."""
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


# --- Output ---


def test_a_healthy_bundle_has_no_findings(bundle: Bundle) -> None:
    for words in ((), ("--strict",)):
        status, output = bundle.check(*words)
        assert status == OK
        assert output.startswith("No problems found. Checked: settings, uwsgi.ini, nginx, "), output
        assert len(output.splitlines()) == 1


def test_a_healthy_bundle_with_tls_in_production_has_no_findings(
    bundle: Bundle, certificate: Callable
) -> None:
    status, output = bundle.check("--strict", ENVIRONMENT="production", **certificate())
    assert status == OK, output
    assert output.startswith(
        "No problems found. Checked: settings, uwsgi.ini, certificate, nginx"
    ), output


def test_a_check_changes_nothing(bundle: Bundle) -> None:
    before = sorted(bundle.folder.rglob("*"))
    bundle.check()
    assert [
        path for path in sorted(bundle.folder.rglob("*")) if "__pycache__" not in str(path)
    ] == (before)


def test_warnings_do_not_change_the_exit_status(bundle: Bundle) -> None:
    status, output = bundle.check(SECRET_KEY="")
    assert status == OK
    assert output.startswith("warning  W002  SECRET_KEY"), output
    assert "Not checked: containers (there is no container engine)." in output


# --- Ids ---


def test_the_page_lists_each_kind_of_finding() -> None:
    page = (PROJECT / "docs" / "check.md").read_text()
    rows = re.findall(r"^\| ([EW]\d+) \| ([a-z ]+) \| (.*) \|$", page, re.MULTILINE)
    kinds = {}
    for id, severity, summary in rows:
        assert severity.endswith(Finding(id, "").severity)
        kinds[id] = Kind(summary, blocking=severity.startswith("blocking"))
    assert kinds == KINDS
    assert len(rows) == len({id[1:] for id in kinds}), "a number occurs twice"


def test_each_kind_of_finding_is_used() -> None:
    modules = [*(PROJECT / "deploy").rglob("*.py")]
    text = "".join(m.read_text() for m in modules if m.name != "finding.py")
    assert set(re.findall(r'"([EW]\d{3})"', text)) == KINDS.keys()


def test_a_finding_is_ignored_by_its_id(bundle: Bundle) -> None:
    (bundle.folder / ".env").write_text("CHECK_IGNORE='W002 W009'\n")
    status, output = bundle.check("--strict", SECRET_KEY="")
    assert status == OK, output
    assert output.startswith("No problems found. "), output
    assert output.endswith(" Ignored: W002.\n"), "W009 was not found"
    bundle.finds("W003", "fewer than 20 bytes", SECRET_KEY="short")


@pytest.mark.parametrize(
    ("id", "problem"),
    [("W999", "which is no finding"), ("2", "write ids"), ("E001", "cannot be ignored")],
)
def test_an_unknown_or_blocking_id_is_rejected(bundle: Bundle, id: str, problem: str) -> None:
    bundle.finds("E001", f"CHECK_IGNORE has '{id}'", problem, CHECK_IGNORE=f"W002 {id}")
    knobs = {"python": f"{sys.executable} -S", "CHECK_IGNORE": id}
    assert bundle.check(**knobs)[0] == ERROR, "also on a host with containers alone"


@pytest.mark.parametrize("id", sorted(KINDS))
def test_no_blocking_error_can_be_ignored(id: str, tmp_path: Path) -> None:
    if KINDS[id].blocking:
        with pytest.raises(Refusal, match=id):
            check_ignore({"CHECK_IGNORE": id}, tmp_path)
    else:
        assert check_ignore({"CHECK_IGNORE": id}, tmp_path) == {id}


def test_findings_are_machine_readable(bundle: Bundle) -> None:
    bundle.write("uwsgi.ini", "listen = 1024", "listen = 65535")
    knobs = {"SECRET_KEY": "", "TRUSTED_PROXIES": "::/0", "CHECK_IGNORE": "W008"}
    status, output = bundle.check("--format", "json", **knobs)
    report = json.loads(output)
    assert status == ERROR
    found = [(f["id"], f["severity"], f["blocking"]) for f in report["findings"]]
    assert found == [("E021", "error", True), ("W002", "warning", False)]
    assert report["findings"][1]["message"].startswith("SECRET_KEY is ''")
    assert report["ignored"] == ["W008"]
    assert report["checked"][0] == "settings"
    assert report["not_checked"]["containers"] == "there is no container engine"


def test_a_rollout_learns_whether_there_is_a_release_step(bundle: Bundle) -> None:
    def said(**knobs: str) -> dict[str, bool]:
        done = subprocess.run(
            [sys.executable, "-m", "deploy", "findings"],
            cwd=bundle.folder,
            env=bundle.site.environment | knobs,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[0])

    assert said() == {"release_step": False}
    assert said(RELEASE_COMMAND="flask db upgrade") == {"release_step": True}
    (bundle.folder / "Procfile").write_text("release: flask db upgrade\n")
    assert said() == {"release_step": True}


def test_help_lists_the_commands_that_people_type() -> None:
    command = [sys.executable, "-m", "deploy", "--help"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^    ([a-z]+)(?:\s|$)", done.stdout, re.MULTILINE)
    running = ["serve", "install", "lock", "local", "dev", "check"]
    operating = ["rollout", "rollback", "status", "recycle", "profile", "certificate"]
    assert listed == running + operating


# --- Apps ---

SCHEDULERS = {
    "a loop in a thread": (
        "threading.Thread(target=time.sleep, args=[60], daemon=True)",
        "time.sleep",
    ),
    "a timer": ("threading.Timer(60, print)", "builtins.print"),
    "a class": ("type('Clock', (threading.Thread,), {'run': lambda _: time.sleep(9)})()", "Clock"),
}


@pytest.mark.parametrize(("thread", "name"), SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_scheduler_that_would_run_in_each_worker_is_a_warning(
    bundle: Bundle, thread: str, name: str
) -> None:
    lines = f"import threading, time\n{thread}.start()\napp = print\n"
    (bundle.folder / "scheduled.py").write_text(lines)
    mounts = {"MOUNTS": "/path=scheduled:app", "APP_MEMORY": "1g"}
    bundle.finds("W093", name, "runs 2 times", "WORKERS is 2", WORKERS=2, **mounts)


def test_a_scheduler_that_would_run_in_no_worker_is_a_warning(bundle: Bundle) -> None:
    lines = "import threading\nthreading.Timer(60, print).start()\napp = print\n"
    (bundle.folder / "scheduled.py").write_text(lines)
    knobs = {"MOUNTS": "/path=scheduled:app"}
    bundle.finds("W092", "never runs", "LOAD_APPS=once", LOAD_APPS="once", **knobs)
    assert bundle.check(**knobs)[1].startswith("No problems found."), "one worker runs it once"


def test_an_app_that_cannot_be_loaded_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "broken.py").write_text("1 / 0\n")
    bundle.finds("E090", "'broken:app' cannot be loaded", MOUNTS="/path=broken:app")


def test_errors_come_first(bundle: Bundle) -> None:
    bundle.write("uwsgi.ini", "listen = 1024", "listen = 65535")
    status, output = bundle.check(SECRET_KEY="")
    assert status == ERROR
    assert [line.split()[0] for line in output.splitlines()] == ["error", "warning", "Checked:"]


# --- Settings ---


def test_an_invalid_setting_is_an_error(bundle: Bundle) -> None:
    status, output = bundle.check(THREADS="many")
    assert status == ERROR
    assert output.startswith("error    E001  THREADS is 'many'; write a whole number"), output


@pytest.mark.parametrize(
    ("knobs", "parts"),
    [
        ({"SECRET_KEY": ""}, ["W002", "SECRET_KEY is ''", "openssl rand -hex 32"]),
        (
            {"SECRET_KEY": "short"},
            ["W003", "SECRET_KEY has fewer than 20 bytes", "openssl rand -hex 32"],
        ),
        (
            {"SECRET_KEY": "change-me-change-me-now"},
            ["W003", "SECRET_KEY is one that stands in examples"],
        ),
        ({"HTTP_ADDRESS": "0.0.0.0"}, ["W006", "SERVER_NAMES is ''", "'0.0.0.0'", "example.com"]),
        (
            {"TRUSTED_PROXIES": "10.0.0.1 0.0.0.0/0"},
            ["W008", "TRUSTED_PROXIES is '10.0.0.1 0.0.0.0/0'"],
        ),
        ({"TRUSTED_PROXIES": "::/0"}, ["W008", "TRUSTED_PROXIES is '::/0'", "name the addresses"]),
        ({"TRUSTED_PROXIES": "0.0.0.0/1 128.0.0.0/1"}, ["W008", "a large part of the Internet"]),
        ({"WORKERS": 900, "THREADS": 1}, ["W009", "WORKERS is 900", "leave WORKERS empty"]),
        ({"UWSGI_DEBUG": 1, "ENVIRONMENT": "staging"}, ["W004", "UWSGI_DEBUG is on", "'staging'"]),
        (
            {"UWSGI_DEBUG": 1, "TRUSTED_PROXIES": "127.0.0.1", "DEBUG_ALLOW": "10.0.0.0/8"},
            ["W004", "UWSGI_DEBUG is on", "leave UWSGI_DEBUG empty"],
        ),
        (
            {"UWSGI_DEBUG": 1, "HTTP_ADDRESS": "::", "SERVER_NAMES": "a.b", "DEBUG_ALLOW": "::1"},
            ["W004", "UWSGI_DEBUG is on", "'::'"],
        ),
        ({"FLASK_DEBUG": 1, "ENVIRONMENT": "staging"}, ["W005", "FLASK_DEBUG is on", "'staging'"]),
    ],
    ids=str,
)
def test_an_unwise_setting_is_a_warning(bundle: Bundle, knobs: dict, parts: list[str]) -> None:
    bundle.finds(*parts, **knobs)


def test_the_debugger_on_this_machine_only_is_no_finding(bundle: Bundle) -> None:
    for name in ("UWSGI_DEBUG", "FLASK_DEBUG"):
        status, output = bundle.check("--strict", **{name: 1})
        assert status == OK, output


def test_a_debugger_that_all_clients_can_use_is_an_error(bundle: Bundle) -> None:
    bundle.finds("E001", "UWSGI_DEBUG is on", "'0.0.0.0/0'", UWSGI_DEBUG=1, DEBUG_ALLOW="0.0.0.0/0")


# --- Edited files ---


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("listen = 1024", "listen = 65535", ["E021", "listen is 65535", "somaxconn", "sysctl"]),
        (
            "$(STOP_TIMEOUT)",
            "30",
            ["E022", "worker-reload-mercy is 30", "REQUEST_TIMEOUT is 60"],
        ),
        (
            "worker-reload-mercy = $(STOP_TIMEOUT)\n",
            "",
            ["E022", "worker-reload-mercy is 60", "is 90"],
        ),
        (
            "chmod-socket = 660",
            "chmod-socket = 666",
            ["E020", "chmod-socket is 666", "chmod-socket = 660"],
        ),
        ("chmod-socket = 660\n", "", ["E020", "chmod-socket is 755", "chmod-socket = 660"]),
    ],
)
def test_an_unsafe_option_in_uwsgi_ini_is_an_error(
    bundle: Bundle, old: str, new: str, parts: list[str]
) -> None:
    bundle.write("uwsgi.ini", old, new)
    bundle.finds(*parts, REQUEST_TIMEOUT=90 if "is 90" in parts[-1] else 60)


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (
            "uwsgi.ini",
            "no-orphans",
            "harakiri = 9\nno-orphans",
            ["W023", "harakiri is 9", "remove it"],
        ),
        (
            "uwsgi.ini",
            "socket-timeout = 30\n",
            "",
            ["W052", "send_timeout is 30s", "socket-timeout is 4"],
        ),
        (
            "nginx/server.conf.template",
            "${REQUEST_TIMEOUT}s",
            "20s",
            ["W051", "uwsgi_read_timeout is 20s", "REQUEST_TIMEOUT is 60"],
        ),
        (
            "nginx/snippets/limits.conf",
            "send_timeout 30s",
            "send_timeout 2m",
            ["W052", "timeout is 2m"],
        ),
        (
            "nginx/outside.conf",
            "404",
            "302 http://localhost$uri",
            ["W053", "gixy's http_splitting", "nginx/mounts/outside.conf line 3", "see https://"],
        ),
    ],
)
def test_inconsistent_configuration_is_a_warning(
    bundle: Bundle, file: str, old: str, new: str, parts: list[str]
) -> None:
    bundle.write(file, old, new)
    bundle.finds(*parts)


def test_a_configuration_that_nginx_rejects_is_an_error(bundle: Bundle) -> None:
    bundle.write("nginx/nginx.conf", "sendfile on;", "sendfile on; nonsense on;")
    bundle.finds("E050", 'unknown directive "nonsense"', "nginx.conf:")


# --- The certificate ---


@pytest.mark.parametrize(
    ("begins", "ends", "kind", "part"),
    [
        (-90, -1, "E042", "which expired on"),
        (1, 90, "E043", "which is not valid before"),
        (-80, 13, "W044", "which expires in 13 days"),
    ],
)
def test_a_certificate_that_is_not_valid_now_is_a_finding(
    bundle: Bundle, certificate: Callable, begins: int, ends: int, kind: str, part: str
) -> None:
    bundle.finds(kind, "TLS_CERTIFICATE", part, **certificate(begins, ends))


def test_a_certificate_with_enough_time_left_is_no_finding(
    bundle: Bundle, certificate: Callable
) -> None:
    status, output = bundle.check("--strict", **certificate(-70, 15))
    assert status == OK, output


def test_a_key_of_another_pair_is_an_error(
    bundle: Bundle, certificate: Callable, authority: trustme.CA
) -> None:
    knobs = certificate()
    other = authority.issue_cert("site.example").private_key_pem
    knobs["TLS_KEY"].write_bytes(other.bytes())
    bundle.finds("E040", "TLS_KEY", "key values mismatch", **knobs)


def test_a_missing_certificate_is_an_error(bundle: Bundle, certificate: Callable) -> None:
    knobs = certificate()
    knobs["TLS_CERTIFICATE"].unlink()
    bundle.finds("E040", "TLS_CERTIFICATE", "which cannot be read", **knobs)


def test_a_name_that_the_certificate_does_not_cover_is_a_warning(
    bundle: Bundle, certificate: Callable
) -> None:
    knobs = certificate() | {"SERVER_NAMES": "site.example *.site.example shop.example"}
    bundle.finds("W045", "SERVER_NAMES has 'shop.example'", **knobs)


# --- This machine ---


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory with access for all users, unlike those of other tests."""
    folder = Path("/var/tmp") / f"check{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_tls_key_that_all_users_can_read_is_a_warning(
    bundle: Bundle, certificate: Callable, open_folder: Path
) -> None:
    knobs = certificate()
    for name in ("TLS_CERTIFICATE", "TLS_KEY"):
        knobs[name] = Path(shutil.copy(knobs[name], open_folder))
    knobs["TLS_KEY"].chmod(0o644)
    bundle.finds("W060", "TLS_KEY", "every user of this machine", "chmod 700", **knobs)
    open_folder.chmod(0o700)  # the way of docs/tls.md
    status, output = bundle.check("--strict", **knobs)
    assert status == OK, output


def test_a_secret_key_in_a_file_that_all_users_can_read_is_a_warning(
    bundle: Bundle, open_folder: Path
) -> None:
    (open_folder / "key").write_text(KEY)
    (open_folder / "key").chmod(0o644)
    knobs = {"SECRET_KEY": "", "SECRET_KEY_FILE": open_folder / "key"}
    bundle.finds("W060", "SECRET_KEY_FILE", str(open_folder / "key"), "chmod 700", **knobs)


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
def test_a_secret_in_env_that_all_users_can_read_is_a_warning(
    bundle: Bundle, line: str, secret: bool
) -> None:
    (bundle.folder / ".env").write_text(f"{line}\n")
    (bundle.folder / ".env").chmod(0o644)
    bundle.folder.chmod(0o755)
    if secret:
        bundle.finds("W061", ".env has a secret in it", "type: chmod 600")
        (bundle.folder / ".env").chmod(0o600)
    status, output = bundle.check("--strict")
    assert status == OK, output


def test_sockets_that_other_users_can_reach_are_an_error(bundle: Bundle) -> None:
    sockets = bundle.folder / ".run" / "sockets"
    sockets.mkdir(parents=True, mode=0o750)
    (bundle.folder / ".run" / "lock").touch()  # of `serve`
    assert bundle.check()[0] == OK
    sockets.chmod(0o757)
    bundle.finds("E072", str(sockets), "mode 0757", "chmod 2750")


def test_a_run_dir_that_others_can_replace_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "run").mkdir()
    (bundle.folder / "run").chmod(0o777)
    bundle.finds("E071", "RUN_DIR", "mode 0777", "chmod o-w", RUN_DIR=bundle.folder / "run/here")
    (bundle.folder / "run").chmod(0o1777)  # as /tmp: only the owner of an entry can replace it
    assert bundle.check(RUN_DIR=bundle.folder / "run/here")[0] == OK


def test_a_run_dir_that_cannot_be_written_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "file").touch()
    bundle.finds("E070", "RUN_DIR", "cannot be written", RUN_DIR=bundle.folder / "file" / "run")


def test_a_run_dir_of_another_program_is_an_error(bundle: Bundle) -> None:
    (bundle.folder / "etc" / "nginx").mkdir(parents=True)
    bundle.finds("E070", "RUN_DIR", "another program", RUN_DIR=bundle.folder / "etc")


def test_a_disk_without_room_for_bodies_is_a_warning(bundle: Bundle) -> None:
    bundle.finds("W083", "MAX_BODY_SIZE is '1000g'", "free space", MAX_BODY_SIZE="1000g")


def test_an_nginx_that_is_too_old_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    old = tmp_path / "nginx"
    old.write_text("#!/bin/sh\necho 'nginx version: nginx/1.18.0' >&2\n")
    old.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    bundle.finds("E050", "nginx 1.18, which is too old", "install 1.22", PATH=path)


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt on this machine")
@pytest.mark.parametrize("label", ["Debian-Security", "Debian"])
def test_an_nginx_with_a_security_update_is_a_warning(
    bundle: Bundle, tmp_path: Path, label: str
) -> None:
    # A real apt with an old nginx installed, and one archive that has a newer one.
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
        parts = [
            "W054",
            "nginx is 1.22.1-9, and 1.22.1-9+deb12u99",
            "apt-get install --only-upgrade nginx",
        ]
        bundle.finds(*parts, **config)
    else:
        assert bundle.check("--strict", **config)[0] == OK


# --- Before a start ---


@contextlib.contextmanager
def rejected(site: HostSite) -> Iterator[list[str]]:
    """The output of a `serve` that starts nothing."""
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
    with rejected(bundle.site) as lines:
        assert len(lines) == 1
        assert lines[0].startswith("deploy: chmod-socket is 666 in uwsgi.ini")


def test_warnings_are_not_blocking(bundle: Bundle) -> None:
    bundle.site.environment |= {"SECRET_KEY": "short"}
    bundle.site.start()
    assert bundle.site.ask("/path/").status == 200


def test_an_expired_certificate_is_not_blocking_since_acme_needs_the_site(
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


def test_a_site_that_is_served_has_no_findings(bundle: Bundle) -> None:
    bundle.site.start()
    until((bundle.folder / ".run" / "control").exists, "serve to take commands")
    status, output = bundle.check("--strict")
    assert status == OK, output
    assert "containers" not in output


# --- Containers ---


@pytest.fixture
def by_engine(bundle: Bundle) -> Bundle:
    """With the container engine of this machine."""
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
def test_an_overlay_that_drops_requests_is_an_error_without_any_package(
    by_engine: Bundle, service: str, lines: str, severity: str, parts: list[str]
) -> None:
    overlay = by_engine.folder / "overlay.yml"
    overlay.write_text(f"services:\n  {service}:\n    {lines}\n")
    by_engine.site.environment["COMPOSE_FILE"] = "docker-compose.yml:overlay.yml"
    # Without an environment of the app, as on a machine that has containers alone.
    status, output = by_engine.check(python=f"{sys.executable} -S")
    assert status == ERROR
    sentences = [line for line in output.splitlines() if line.startswith(severity)]
    assert all(part in sentences[0] for part in parts), output
    assert output.splitlines()[-1] == "Checked: containers."


@pytest.mark.docker
def test_containers_with_the_default_configuration_have_no_findings(
    by_engine: Bundle, certificate: Callable
) -> None:
    knobs = certificate() | {"COMPOSE_FILE": "docker-compose.yml:deploy/compose/production.yml"}
    status, output = by_engine.check("--strict", python=f"{sys.executable} -S", **knobs)
    assert (status, output) == (OK, "No problems found. Checked: containers.\n")


@pytest.mark.docker
def test_the_certificate_of_containers_is_checked_without_any_package(
    by_engine: Bundle, certificate: Callable
) -> None:
    python = f"{sys.executable} -S"
    status, output = by_engine.check(python=python, **certificate(-90, -1))
    assert (status, "which expired on" in output) == (ERROR, True), output


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rollout_in_containers_starts_nothing_with_an_error() -> None:
    site = ComposeSite(SECRET_KEY=KEY, WORKERS=1, MAX_BODY_SIZE="1k")
    python = f"{sys.executable} -S"
    try:
        bundle = Bundle(site)
        del site.environment["DOCKER_HOST"]
        site.start()
        assert bundle.check("--strict", python=python)[0] == OK

        # Findings in the app's container, with the current settings.
        status, output = bundle.check("--strict", python=python, WORKERS=900, THREADS=1)
        assert (status, "WORKERS is 900" in output) == (WARNING, True), output
        memory = {"WORKER_MEMORY": "100m", "APP_MEMORY": "90m"}
        status, output = bundle.check("--strict", python=python, **memory)
        assert (status, "more than the 90m in all" in output) == (WARNING, True), output

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
            assert done.returncode == ERROR, done.stderr
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
    with pytest.raises(NotCheckedError):
        list(images.look(tmp_path))
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (found,) = images.look(tmp_path)
    assert found.message == (
        "shop/model.bin and 1 more of Git's files are not in the images; if the app reads them,"
        " add a line such as !shop/*.bin to .dockerignore, else the line shop/*.bin."
    )
    with (tmp_path / ".dockerignore").open("a") as file:
        file.write("!shop/*.bin\n")
    assert list(images.look(tmp_path)) == []
    with (tmp_path / ".dockerignore").open("a") as file:
        file.write("shop/*.bin\n")
    assert list(images.look(tmp_path)) == []
