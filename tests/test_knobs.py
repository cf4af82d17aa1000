"""Reading the knobs: where they come from, what follows from them, and what is let alone."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.problems import Refusal
from deploy.settings import knobs, mounts
from deploy.settings.mounts import Mount
from tests.servers import KNOBS, PROJECT

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), knobs.DEFAULTS]
# The one in Flask's quickstart.
FLASKS_OWN = "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to read ``.env`` from, which has none yet."""
    return tmp_path


# --- Where they come from ---


def test_a_default_holds_where_nothing_else_is_said(project: Path) -> None:
    found = knobs.read({}, project)
    assert found.mounts == [Mount("/path", "yourapplication:app")]
    assert (found.http_address, found.http_port) == ("127.0.0.1", 8080)
    assert found.environment_name == "development"
    assert found.server_names == []
    assert not found.debugger


def test_a_renamed_setting_is_rejected_with_its_new_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(knobs.RENAMED, "PROCESSES_OF_UWSGI", "WORKERS")
    (project / ".env").write_text("PROCESSES_OF_UWSGI=4\n")
    with pytest.raises(Refusal, match=r"PROCESSES_OF_UWSGI is set to '4', .* calls it WORKERS;"):
        knobs.read({}, project)


def test_what_was_renamed_is_no_setting_any_more_and_what_it_became_is() -> None:
    assert not knobs.RENAMED.keys() & KNOBS.keys()
    assert set(knobs.RENAMED.values()) <= KNOBS.keys()


def test_a_line_in_env_wins_over_the_default(project: Path) -> None:
    (project / ".env").write_text("# mine\nexport HTTP_PORT=8181  # another\nTHREADS='3'\n")
    found = knobs.read({}, project)
    assert found.http_port == 8181
    assert found.environment["THREADS"] == "3"


def test_the_environment_wins_over_a_line_in_env(project: Path) -> None:
    (project / ".env").write_text("HTTP_PORT=8181\nTHREADS=3\n")
    found = knobs.read({"HTTP_PORT": "8282"}, project)
    assert found.http_port == 8282
    assert found.environment["THREADS"] == "3"


def test_an_empty_variable_in_the_environment_wins_too(project: Path) -> None:
    (project / ".env").write_text("SERVER_NAMES=example.com\n")
    assert knobs.read({"SERVER_NAMES": ""}, project).server_names == []


def test_several_mounts_in_env_need_no_quotes(project: Path) -> None:
    (project / ".env").write_text("MOUNTS=/a=one:app /b=two:create_app()\n")
    assert knobs.read({}, project).mounts == [
        Mount("/a", "one:app"),
        Mount("/b", "two:create_app()"),
    ]


def test_what_is_not_a_knob_is_handed_on_to_the_app(project: Path) -> None:
    (project / ".env").write_text("DATABASE_URL=postgres:///shop\n")
    found = knobs.read({"HTTP_PROXY": "http://proxy:3128"}, project)
    assert found.environment["DATABASE_URL"] == "postgres:///shop"
    assert found.environment["HTTP_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize(
    "content",
    [b"WORKERS 8\n", b"THREADS=2\nWORKERS\n", b"MOUNTS='/path=one:app\n", b"NAME=caf\xe9\n"],
    ids=["no equals sign", "a name alone", "an open quote", "not UTF-8"],
)
def test_a_line_in_env_that_sets_nothing_is_refused(project: Path, content: bytes) -> None:
    (project / ".env").write_bytes(content)
    with pytest.raises(Refusal, match=r"\.env"):
        knobs.read({}, project)


# --- What is let alone ---

USUAL = """
    _ AWS_ACCESS_KEY_ID CDPATH CELERY_BROKER_URL CI CLICOLOR COLORTERM COLUMNS CONDA_PREFIX
    DATABASE_URL DBUS_SESSION_BUS_ADDRESS DEBIAN_FRONTEND DEBUG DISPLAY DOCKER_HOST EDITOR EMAIL
    ENV FLASK_APP FLASK_ENV FLASK_RUN_PORT FTP_PROXY GITHUB_ACTIONS GITHUB_RUN_ID
    GITHUB_WORKSPACE GPG_AGENT_INFO GPG_KEY GPG_TTY HISTSIZE HOME HOST HOSTNAME HTTP_PROXY
    HTTPS_PROXY INVOCATION_ID JOURNAL_STREAM LANG LANGUAGE LC_ALL LC_CTYPE LESS LESSOPEN LINES
    LISTEN_FDS LISTEN_PID LOGNAME LS_COLORS MAIL MAIL_SERVER MAKEFLAGS MAKELEVEL MAKE_TERMERR
    MAKE_TERMOUT MAX_CONTENT_LENGTH MFLAGS NODE_ENV NOTIFY_SOCKET NO_PROXY OLDPWD PAGER PATH
    OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_SERVICE_NAME
    PGHOST PGPASSWORD PORT PS1 PWD PYTEST_CURRENT_TEST PYTHONPATH PYTHONUNBUFFERED
    PYTHON_VERSION REDIS_URL SECRET_KEY_BASE SECRET_KEY_FALLBACKS SENTRY_DSN SESSION_COOKIE_NAME
    SESSION_COOKIE_PATH SHELL SHLVL SQLALCHEMY_DATABASE_URI SSH_AUTH_SOCK SSH_CLIENT
    SSH_CONNECTION SSH_TTY SSL_CERT_FILE SUDO_UID SUDO_USER TERM TMPDIR TZ USER VIRTUAL_ENV
    VISUAL WEB_CONCURRENCY WERKZEUG_DEBUG_PIN WINDOWID XDG_RUNTIME_DIR XDG_SESSION_ID http_proxy
    https_proxy no_proxy
"""


@pytest.mark.parametrize("name", USUAL.split())
def test_a_usual_variable_is_not_taken_for_a_misspelt_knob(project: Path, name: str) -> None:
    assert knobs.read({name: "something"}, project).environment[name] == "something"


@pytest.mark.parametrize(
    ("slip", "knob"),
    [
        ("WORKRES", "WORKERS"),
        ("WORKER", "WORKERS"),
        ("workers", "WORKERS"),
        ("THREAD", "THREADS"),
        ("SERVER_NAME", "SERVER_NAMES"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("MAX_BODYSIZE", "MAX_BODY_SIZE"),
        ("REQUEST_TIMOUT", "REQUEST_TIMEOUT"),
        ("SECRETKEY", "SECRET_KEY"),
        ("ENVIROMENT", "ENVIRONMENT"),
    ],
)
@pytest.mark.parametrize("place", ["the environment", ".env"])
def test_a_slip_in_a_name_is_refused_with_the_right_one(
    project: Path, place: str, slip: str, knob: str
) -> None:
    (project / ".env").write_text(f"{slip}=x\n" if place == ".env" else "")
    with pytest.raises(Refusal, match=rf"^{slip} is set to 'x'.* write {knob} "):
        knobs.read({slip: "x"} if place == "the environment" else {}, project)


# --- What follows from them ---


def test_without_a_key_each_start_makes_one_that_its_workers_share(project: Path) -> None:
    first, second = knobs.read({}, project), knobs.read({}, project)
    assert len(first.secret_key) >= 32
    assert first.secret_key != second.secret_key
    assert first.environment["SECRET_KEY"] == first.secret_key


def test_a_key_is_read_from_its_file_without_the_newline(project: Path) -> None:
    (project / "key").write_text("not so secret\n")
    assert knobs.read({"SECRET_KEY_FILE": "key"}, project).secret_key == "not so secret"


def test_a_relative_run_dir_lies_in_the_project(project: Path) -> None:
    assert knobs.read({"RUN_DIR": "here"}, project).run_dir == project / "here"


def test_without_a_number_there_is_a_worker_for_each_usable_cpu(project: Path) -> None:
    found = knobs.read({"WORKERS": ""}, project)
    assert found.workers == knobs.usable_cpus()
    assert found.environment["WORKERS"] == str(found.workers)


def test_usable_cpus_are_those_that_this_process_may_run_on() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert knobs.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= knobs.usable_cpus() <= len(allowed)


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON"])
def test_a_switch_is_on(project: Path, text: str) -> None:
    found = knobs.read({"FLASK_DEBUG": text}, project)
    assert found.environment["FLASK_DEBUG"] == "1"


@pytest.mark.parametrize("text", ["", "0", "false", "No", "OFF"])
def test_a_switch_is_off(project: Path, text: str) -> None:
    found = knobs.read({"UWSGI_DEBUG": text, "FLASK_DEBUG": text}, project)
    assert not found.debugger
    assert found.environment["UWSGI_DEBUG"] == found.environment["FLASK_DEBUG"] == ""


@pytest.mark.parametrize("guard", ["DEBUG_ALLOW", "DEBUG_PASSWORD_FILE"])
def test_the_debugger_is_let_out_with_a_guard(project: Path, guard: str) -> None:
    (project / "10.0.0.0").write_text("ada:$2y$05$...\n")
    settings = {"UWSGI_DEBUG": "1", "HTTP_ADDRESS": "0.0.0.0", guard: "10.0.0.0"}
    assert knobs.read(settings, project).debugger


def test_production_with_names_and_a_key_is_accepted(project: Path) -> None:
    settings = {
        "ENVIRONMENT": "production",
        "SERVER_NAMES": "example.com",
        "SECRET_KEY": "a key that only the tests know",
        "TRUSTED_PROXIES": "10.0.0.0/8",
    }
    assert knobs.read(settings, project).environment_name == "production"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_no_secret_key_that_is_printed_in_the_documents_is_one_for_production(
    project: Path, file: Path
) -> None:
    printed = re.findall(r"SECRET_KEY(?:_FILE)?=(\S+)", file.read_text())
    for key in {*printed, "dev", "change-me", "your-secret-key-goes-here", FLASKS_OWN}:
        settings = {
            "ENVIRONMENT": "production",
            "SERVER_NAMES": "example.com",
            "SECRET_KEY": key,
            "TRUSTED_PROXIES": "10.0.0.0/8",
        }
        with pytest.raises(Refusal, match="the secret key"):
            knobs.read(settings, project)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_BODY_SIZE", "1"),
        ("MAX_BODY_SIZE", "64K"),
        ("MAX_BODY_SIZE", "1024g"),
        ("CACHE_SIZE", "0"),
        ("REQUEST_TIMEOUT", "86400"),
        ("HTTP_PORT", "65535"),
        ("HTTP_ADDRESS", "::1"),
        ("METRICS_ADDRESS", "10.0.0.5"),
        ("METRICS_PORT", "9117"),
        ("APP_CPUS", "0.5"),
        ("SERVER_NAMES", "example.com *.example.com my_host 127.0.0.1 [::1]"),
        ("TRUSTED_PROXIES", "10.0.0.0/8\t2001:db8::/32  192.0.2.1"),
        ("MOUNTS", "/=one:app"),
        ("MOUNTS", "/a.b/c_d/e-f/g~h=package.module:app"),
        ("MOUNTS", "/a=one:app\n/a/b=two:app"),
    ],
)
def test_what_can_work_is_accepted(project: Path, name: str, text: str) -> None:
    assert knobs.read({name: text}, project).environment[name] == text


# --- Mounts ---


def test_a_mount_at_the_root_has_an_empty_prefix() -> None:
    (mount,) = mounts.parse("/=one:app")
    assert (mount.path, mount.prefix, mount.uwsgi_option) == ("/", "", "=one:app")


def test_a_mount_keeps_its_factory() -> None:
    (mount,) = mounts.parse("/shop=shop.web:create_app()")
    assert mount.uwsgi_option == "/shop=shop.web:create_app()"


@given(st.text(max_size=30))
def test_no_path_that_is_accepted_means_something_to_nginx_or_to_a_shell(path: str) -> None:
    try:
        found = mounts.parse(f"{path}=one:app")
    except Refusal:
        return
    for mount in found:
        assert not set(mount.path) & set("{};$#'\"\\()*?[]|&<>` \t\r\n%:@")
        assert mount.path.isascii()
        assert mount.path == "/" or not mount.path.endswith("/")
        assert ".." not in mount.path.split("/")
