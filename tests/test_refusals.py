"""Invalid settings are rejected with one sentence, and nothing is started.

Each test runs the real command in a copy of the bundle, so that a ``.env`` of the
checkout has no effect.
"""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deploy.settings.debugging import too_wide
from tests.servers import PROJECT, free_port, until

# The status of a refusal, and that of a program that was called in a wrong way.
REJECTED = 2
SECONDS = 60


@dataclass
class Bundle:
    """A copy of the bundle, where apps and a ``.env`` can be put."""

    folder: Path
    port: int = field(default_factory=free_port)
    path: str = os.environ["PATH"]

    @property
    def run_dir(self) -> Path:
        return self.folder / ".run"

    def start(self, command: str, settings: dict[str, str], to: str = "") -> subprocess.Popen:
        """Run a command of the bundle with these variables and no others of this machine."""
        environment = {"PATH": self.path, "LANG": "C.UTF-8", "HTTP_PORT": str(self.port)}
        return subprocess.Popen(
            [sys.executable, "-m", "deploy", command, *filter(None, [to])],
            cwd=self.folder,
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rejects(
        self, settings: dict[str, str], *parts: str, command: str = "serve", to: str = ""
    ) -> str:
        """Check that a start is rejected, that the message has these parts, and nothing runs.

        Returns:
            What was on standard error, the sentence and a traceback before it.
        """
        process = self.start(command, settings, to)
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate(timeout=SECONDS)
            pytest.fail(f"`{command}` with {settings} was not rejected, but ran:\n{out}\n{err}")
        said = f"with {settings} `{command}` said:\n{out}\n{err}"
        assert process.returncode == REJECTED, f"exit status {process.returncode}; {said}"
        *before, sentence = err.splitlines()
        assert sentence.startswith("deploy: "), said
        assert not before or before[0].startswith("Traceback"), f"more than a sentence; {said}"
        for part in parts:
            assert part in sentence, f"{part!r} is missing; {said}"
        assert ";" in sentence, f"it names no fix; {said}"
        assert "Serving" not in out, said
        assert "Starting uWSGI" not in out + err, said
        self.assert_nothing_runs()
        return err

    def assert_nothing_runs(self) -> None:
        # uWSGI works in the bundle's folder, nginx in RUN_DIR.
        def ended() -> bool:
            left = []
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if Path(process.cwd()).is_relative_to(self.folder):
                        left.append(process)
            return not left

        until(ended, "the end of what was started", 30)
        sockets = [path for path in self.run_dir.rglob("*.sock") if path.exists()]
        assert not sockets, "a socket was left behind"
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", self.port)), "something listens on HTTP_PORT"


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    # Not tmp_path, which is too long for sockets in it.
    with tempfile.TemporaryDirectory(prefix="bundle") as name:
        folder = Path(name)
        for part in ("deploy", "nginx", "yourapplication"):
            shutil.copytree(PROJECT / part, folder / part)
        shutil.copy(PROJECT / "uwsgi.ini", folder)
        yield Bundle(folder)


@pytest.fixture
def fake(bundle: Bundle, tmp_path: Path) -> Callable[[str, str], None]:
    """Put a shell script of this name and content before all programs of that name."""
    (tmp_path / "bin").mkdir()
    bundle.path = f"{tmp_path / 'bin'}:{bundle.path}"

    def write(name: str, content: str) -> None:
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{content}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return write


@contextlib.contextmanager
def serving(bundle: Bundle, settings: dict[str, str]) -> Iterator[None]:
    """Serve from this bundle meanwhile."""
    process = bundle.start("serve", settings)
    try:
        seen = iter(process.stdout.readline, "")
        assert any(line.startswith("Serving") for line in seen), process.stderr.read()
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)


def test_what_is_refused_here_is_served_when_nothing_is_wrong(bundle: Bundle) -> None:
    with serving(bundle, {}):
        connection = http.client.HTTPConnection("127.0.0.1", bundle.port, timeout=SECONDS)
        connection.request("GET", "/path/")
        assert connection.getresponse().status == 200
        connection.close()
    bundle.assert_nothing_runs()


# --- Knobs ---

VALUES = [
    # name, value, part of the fix
    ("MOUNTS", "", "name at least one app"),
    ("MOUNTS", "path=yourapplication:app", "begin it with one"),
    ("MOUNTS", "/path/=yourapplication:app", "leave the last slash out"),
    ("MOUNTS", "/a=yourapplication:app /a=yourapplication:app", "each path can have one app"),
    ("MOUNTS", "/path", "write it as /path=module:callable"),
    ("MOUNTS", "/path=yourapplication", "write for example yourapplication:app"),
    ("MOUNTS", "/path=yourapplication:app.wsgi_app", "write for example yourapplication:app"),
    ("MOUNTS", "/path=yourapplication:create_app(1)", "write for example yourapplication:app"),
    ("MOUNTS", "/a;b=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a{=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a$host=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a#=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a%20b=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/*=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/..=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a//b=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/caf\u00e9=yourapplication:app", "use letters, digits"),
    ("MOUNTS", "/a b=yourapplication:app", "write it as /path=module:callable"),
    ("MOUNTS", "/a\n{}=yourapplication:app", "write it as /path=module:callable"),
    ("MOUNTS", "/a=yourapplication:app\u00a0/b=yourapplication:app", "write plain spaces"),
    *(("WORKERS", text, "from 1 to 1024") for text in ("0", "1025", "-1", "two", "1.5", " 2")),
    *(("THREADS", text, "from 1 to 1024") for text in ("", "0", "1025", "1_0", "\u0663")),
    *(("DRAIN_DELAY", text, "from 0 to 3600") for text in ("", "-1", "3601", "5s")),
    *(("REQUEST_TIMEOUT", text, "from 1 to 86400") for text in ("", "0", "86401", "60s")),
    *(("HTTP_PORT", text, "from 1 to 65535") for text in ("", "0", "65536", "http", "80;")),
    *(
        (name, text, "as in 16m")
        for name in ("MAX_BODY_SIZE", "APP_MEMORY", "NGINX_MEMORY")
        for text in ("", "0", "0m", "-1", "1.5m", "16mb", "16 m", "m", "1;", "1025g", "9" * 30)
    ),
    *(("CACHE_SIZE", text, "as in 16m") for text in ("", "0m", "00", "-1", "off", "1;")),
    *(
        (name, text, "or 0 for all")
        for name in ("APP_CPUS", "NGINX_CPUS")
        for text in ("", "-1", "all", ".5", "1,5")
    ),
    *(
        ("HTTP_ADDRESS", text, "write an IP address")
        for text in ("", "localhost", "127.0.0.1:80", "127.0.0.1;", "::1%;", "300.0.0.1")
    ),
    *(("METRICS_PORT", text, "from 1 to 65535") for text in ("0", "65536", "metrics", "91 17")),
    *(
        ("METRICS_ADDRESS", text, "write an IP address")
        for text in ("", "localhost", "127.0.0.1:9117")
    ),
    *(
        ("METRICS_ADDRESS", text, "where others could read the metrics; write 127.0.0.1")
        for text in ("0.0.0.0", "::", "8.8.8.8", "2606:4700::1")
    ),
    *(
        ("SERVER_NAMES", text, "write host names")
        for text in ("a;b", "$host", "~^.*$", "http://example.com", "example.com:80", "a..b", "*.")
    ),
    ("SERVER_NAMES", "example.com\u00a0www.example.com", "write plain spaces"),
    *(
        (name, text, "write IP addresses and networks")
        for name in ("TRUSTED_PROXIES", "DEBUG_ALLOW")
        for text in (
            "proxy",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/8;",
            "fe80::1%;deny",
            "10.0.0.1,10.0.0.2",
        )
    ),
    *(("ENVIRONMENT", text, "or production") for text in ("", "prod", "Production")),
    *(
        (name, text, "write 1 to switch it on")
        for name in ("UWSGI_DEBUG", "FLASK_DEBUG")
        for text in ("2", "maybe")
    ),
    *((name, "", "write a path") for name in ("RUN_DIR", "SECRET_KEY_FILE", "DEBUG_PASSWORD_FILE")),
]


@pytest.mark.parametrize(
    ("name", "value", "fix"), VALUES, ids=[f"{name}={value[:25]!a}" for name, value, _ in VALUES]
)
def test_an_impossible_value_is_refused(bundle: Bundle, name: str, value: str, fix: str) -> None:
    # Of a list, the word that is wrong is told; of a mount that is wrong, at least its path.
    words = [repr(word)[1:-1] for word in re.split("[= \n]", value) if word]
    error = bundle.rejects({name: value}, name, fix)
    assert any(word in error for word in words) or "empty" in error or "''" in error


@pytest.mark.parametrize("command", ["serve", "app", "local", "dev", "preflight"])
def test_every_command_refuses_an_impossible_value(bundle: Bundle, command: str) -> None:
    bundle.rejects({"THREADS": "many"}, "THREADS", "'many'", "from 1 to 1024", command=command)


def test_an_impossible_value_in_env_is_refused(bundle: Bundle) -> None:
    (bundle.folder / ".env").write_text("THREADS=many\n")
    bundle.rejects({}, "THREADS", "'many'", "from 1 to 1024")


def test_the_environment_mends_what_env_says(bundle: Bundle) -> None:
    (bundle.folder / ".env").write_text("THREADS=many\n")
    with serving(bundle, {"THREADS": "2"}):
        pass


@pytest.mark.parametrize(("slip", "knob"), [("WORKRES", "WORKERS"), ("threads", "THREADS")])
@pytest.mark.parametrize("place", ["the environment", ".env"])
def test_a_misspelt_name_is_refused(bundle: Bundle, place: str, slip: str, knob: str) -> None:
    (bundle.folder / ".env").write_text(f"{slip}=4\n" if place == ".env" else "")
    settings = {slip: "4"} if place == "the environment" else {}
    bundle.rejects(settings, f"{slip} is set to '4'", f"write {knob}", "deploy/defaults.env")


@pytest.mark.parametrize("place", ["the environment", ".env"])
def test_a_variable_that_uwsgi_takes_for_an_option_is_refused(bundle: Bundle, place: str) -> None:
    (bundle.folder / ".env").write_text("UWSGI_HTTP=:80\n" if place == ".env" else "")
    settings = {"UWSGI_HTTP": ":80"} if place == "the environment" else {}
    bundle.rejects(settings, "UWSGI_HTTP", "put the option into uwsgi.ini")


def test_a_line_in_env_that_sets_nothing_is_refused(bundle: Bundle) -> None:
    (bundle.folder / ".env").write_text("THREADS=2\nWORKERS 8\n")
    bundle.rejects({}, ".env line 2 sets nothing", "write NAME=value")


@pytest.mark.parametrize(
    ("content", "fix"),
    [(None, "may read"), (b"", "write the key into it"), (b"\xff\xfe", "name a text file")],
    ids=["missing", "empty", "not a text"],
)
def test_a_secret_file_that_holds_no_key_is_refused(
    bundle: Bundle, tmp_path: Path, content: bytes | None, fix: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    bundle.rejects({"SECRET_KEY_FILE": str(file)}, "SECRET_KEY_FILE", str(file), fix)


def test_a_delay_for_no_load_balancer_is_refused(bundle: Bundle) -> None:
    settings = {"DRAIN_DELAY": "5", "TRUSTED_PROXIES": ""}
    bundle.rejects(settings, "DRAIN_DELAY is '5'", "TRUSTED_PROXIES is empty", "load balancer")


def test_two_secret_keys_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("one")
    settings = {"SECRET_KEY_FILE": str(tmp_path / "key"), "SECRET_KEY": "two"}
    bundle.rejects(settings, "SECRET_KEY and SECRET_KEY_FILE", "leave one of them out")


PRODUCTION = {
    "ENVIRONMENT": "production",
    "LOG_FORMAT": "text",
    "SERVER_NAMES": "example.com",
    "SECRET_KEY": "a key that only the tests know",
    "TRUSTED_PROXIES": "10.0.0.0/8",
}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"SERVER_NAMES": ""}, ["SERVER_NAMES is empty", "SERVER_NAMES=example.com"]),
        ({"SECRET_KEY": ""}, ["no secret key", "set SECRET_KEY_FILE"]),
        ({"SECRET_KEY": "0123456789abcdefghi"}, ["fewer than 20 bytes", "openssl rand -hex 32"]),
        ({"SECRET_KEY": "1212" * 10}, ["a few different characters", "openssl rand -hex 32"]),
        ({"SECRET_KEY": "please-change-me-1234567"}, ["stands in examples", "openssl rand"]),
        (
            {"TRUSTED_PROXIES": "0.0.0.0/1 128.0.0.0/1"},
            ["TRUSTED_PROXIES is", "proxies alone"],
        ),
        ({"UWSGI_DEBUG": "1"}, ["UWSGI_DEBUG is '1'", "leave UWSGI_DEBUG empty"]),
        ({"FLASK_DEBUG": "yes"}, ["FLASK_DEBUG is 'yes'", "leave FLASK_DEBUG empty"]),
    ],
    ids=[
        "no names",
        "no key",
        "short",
        "monotonous",
        "example",
        "proxies",
        "the debugger",
        "tracebacks",
    ],
)
@pytest.mark.parametrize("command", ["serve", "app"])
def test_production_is_refused_half_configured(
    bundle: Bundle, command: str, change: dict[str, str], parts: list[str]
) -> None:
    error = bundle.rejects(PRODUCTION | change, "'production'", *parts, command=command)
    assert not change.get("SECRET_KEY") or change["SECRET_KEY"] not in error, "the log has the key"


HTPASSWD = "deploy/defaults.env"  # a file, and more is not looked at before nginx reads it
REACHED_BY_OTHERS = [
    # the settings, and parts of the sentence
    ({"HTTP_ADDRESS": "0.0.0.0"}, ["HTTP_ADDRESS is '0.0.0.0'", "set HTTP_ADDRESS=127.0.0.1"]),
    ({"HTTP_ADDRESS": "::"}, ["HTTP_ADDRESS is '::'", "set HTTP_ADDRESS=127.0.0.1"]),
    ({"TRUSTED_PROXIES": "127.0.0.1"}, ["TRUSTED_PROXIES is '127.0.0.1'", "DEBUG_ALLOW"]),
    ({"TRUSTED_PROXIES": "::1", "HTTP_ADDRESS": "::1"}, ["TRUSTED_PROXIES is '::1'"]),
    (
        {"TRUSTED_PROXIES": "127.0.0.1", "PROXY_PROTOCOL": "1"},
        ["TRUSTED_PROXIES is '127.0.0.1'", "DEBUG_PASSWORD_FILE"],
    ),
    *(
        ({"DEBUG_ALLOW": networks}, [f"DEBUG_ALLOW is {networks!r}", "name your own addresses"])
        for networks in (
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1 128.0.0.0/1",
            "10.0.0.0/8 128.0.0.0/1",
            "8.0.0.0/7",
            "2000::/3",
            "::/1 8000::/1",
            "2a00::/12",
            " ".join(f"{n}.0.0.0/8" for n in range(1, 224)),
            " ".join(f"{n}.0.0.0/9" for n in (1, 2, 3)),
        )
    ),
    (
        {"DEBUG_ALLOW": "10.0.0.0/8", "TRUSTED_PROXIES": "0.0.0.0/0"},
        ["TRUSTED_PROXIES is '0.0.0.0/0'", "name your own addresses"],
    ),
    (
        {"DEBUG_PASSWORD_FILE": HTPASSWD, "DEBUG_ALLOW": "0.0.0.0/0"},
        ["DEBUG_ALLOW is '0.0.0.0/0'", "name your own addresses"],
    ),
]


@pytest.mark.parametrize(
    ("settings", "parts"), REACHED_BY_OTHERS, ids=lambda value: str(value)[:60]
)
def test_a_debugger_that_others_reach_is_rejected(
    bundle: Bundle, settings: dict[str, str], parts: list[str]
) -> None:
    bundle.rejects({"UWSGI_DEBUG": "1"} | settings, "UWSGI_DEBUG is on", *parts)


@pytest.mark.parametrize(
    "networks",
    [
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.0/8 fc00::/7 ::1",
        "8.0.0.0/8",
        "203.0.113.7 2003::/19",
    ],
)
def test_the_networks_of_one_operator_are_accepted(networks: str) -> None:
    assert not too_wide(networks)


@pytest.mark.parametrize(
    "settings",
    [
        {"HTTP_ADDRESS": "0.0.0.0", "DEBUG_ALLOW": "10.0.0.0/8"},
        {"HTTP_ADDRESS": "0.0.0.0", "DEBUG_PASSWORD_FILE": HTPASSWD},
        {"TRUSTED_PROXIES": "127.0.0.1", "DEBUG_ALLOW": "10.0.0.0/8"},
    ],
    ids=str,
)
def test_without_nginx_the_debugger_is_for_this_machine_alone(
    bundle: Bundle, settings: dict[str, str]
) -> None:
    parts = ["UWSGI_DEBUG is on", "no nginx here", "set HTTP_ADDRESS=127.0.0.1"]
    bundle.rejects({"UWSGI_DEBUG": "1"} | settings, *parts, command="local")


def test_a_file_of_passwords_that_does_not_exist_is_refused(bundle: Bundle) -> None:
    settings = {"UWSGI_DEBUG": "1", "DEBUG_PASSWORD_FILE": "nowhere"}
    bundle.rejects(settings, "DEBUG_PASSWORD_FILE", "nowhere", "htpasswd")


@pytest.mark.parametrize(
    "pin",
    [
        *("1", "off", "OFF", "none", "-", "---", "12345", "123-456-789", "000000"),
        *("1" * 99, "ab" * 30, "123-456-789-123-456-789", "a2c4e6g8i0k2m4o6q8s"),
        *("abcd 2345 efgh 6789 ijkl", "\u0661\u0662\u0663\u0664" * 9, "\u00b2" * 30),
        *("abcd-2345-efgh-6789-ijkl;", "abcd-2345-efgh-6789-ijkl\n"),
    ],
)
def test_a_pin_that_could_be_guessed_is_rejected(bundle: Bundle, pin: str) -> None:
    settings = {"UWSGI_DEBUG": "1", "WERKZEUG_DEBUG_PIN": pin}
    bundle.rejects(settings, f"WERKZEUG_DEBUG_PIN is {pin!r}", "could be guessed", "leave it empty")


# --- Apps ---

BROKEN = [
    # what stands in broken.py, the callable, parts of the sentence, whether there is a traceback
    ("import no_such_module", "app", ["ModuleNotFoundError", "no_such_module"], True),
    ("1 / 0", "app", ["ZeroDivisionError: division by zero"], True),
    ("def", "app", ["SyntaxError"], True),
    ("import sys; sys.exit(0)", "app", ["SystemExit"], True),
    ("import sys; sys.exit('enough')", "app", ["SystemExit: enough"], True),
    ("input()", "app", ["EOFError"], True),
    ("import os; os._exit(7)", "app", ["exit status 7", "os._exit()"], False),
    ("import os; os.kill(os.getpid(), 9)", "app", ["SIGKILL"], False),
    ("import os; os.closerange(3, 99); app = print", "app", ["closed file descriptors"], False),
    ("application = None", "app", ["'app'", "does not exist", "broken.py"], False),
    ("app = 'me'", "app", ["'app'", "is not callable", "broken.py"], False),
    ("def create_app(): 1 / 0", "create_app()", ["ZeroDivisionError"], True),
    ("def create_app(): pass", "create_app()", ["returned NoneType, not an app"], False),
    ("def create_app(name): pass", "create_app()", ["TypeError"], True),
]


@pytest.mark.parametrize(
    ("source", "name", "parts", "traceback"), BROKEN, ids=[source for source, *_ in BROKEN]
)
def test_an_app_that_cannot_be_loaded_is_refused(
    bundle: Bundle, source: str, name: str, parts: list[str], traceback: bool
) -> None:
    (bundle.folder / "broken.py").write_text(source + "\n")
    settings = {"MOUNTS": f"/path=yourapplication:app /broken=broken:{name}"}
    error = bundle.rejects(settings, "MOUNTS", *parts)
    assert ("Traceback" in error) == traceback, error


def test_an_app_that_hangs_while_it_is_loaded_is_refused_with_where_it_is(bundle: Bundle) -> None:
    lines = "import socket\npair = socket.socketpair()\npair[0].recv(1)\n"
    (bundle.folder / "broken.py").write_text(lines)
    settings = {"MOUNTS": "/path=broken:app", "START_TIMEOUT": "2"}
    error = bundle.rejects(settings, "MOUNTS", "START_TIMEOUT, 2 s", "raise START_TIMEOUT")
    assert 'broken.py", line 3' in error


def test_nothing_that_loading_an_app_starts_is_left_of_the_preflight(bundle: Bundle) -> None:
    # Children, daemons among them, threads that Python would wait for, and what prints at exit.
    (bundle.folder / "busy.py").write_text(
        "import atexit, os, subprocess, threading, time\n"
        "subprocess.Popen(['sleep', '300'])\n"
        "subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "os.system('setsid sh -c \"sleep 300 & sleep 300\" &')\n"
        "atexit.register(print, 'bye')\n"
        "threading.Thread(target=time.sleep, args=[300]).start()\n"
        "app = print\n"
    )
    process = bundle.start("preflight", {"MOUNTS": "/path=busy:app", "WORKERS": "2"})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err  # load it in each worker
    assert "a thread running (Thread-1 (sleep), in time.sleep)" in err
    assert "bye\n" in err
    assert "Starting uWSGI" not in out + err
    bundle.assert_nothing_runs()


@pytest.mark.parametrize("command", ["app", "local", "preflight"])
def test_every_command_that_loads_apps_refuses_a_broken_one(bundle: Bundle, command: str) -> None:
    (bundle.folder / "broken.py").write_text("1 / 0\n")
    settings = {"MOUNTS": "/path=broken:app"}
    error = bundle.rejects(settings, "MOUNTS", "'broken:app'", "ZeroDivision", command=command)
    assert 'broken.py", line 1' in error, "the traceback does not lead to the mistake"


def test_a_module_that_does_not_exist_is_refused_with_the_traceback(bundle: Bundle) -> None:
    error = bundle.rejects({"MOUNTS": "/path=nowhere:app"}, "MOUNTS", "'nowhere:app'", "nowhere")
    assert "Traceback" in error


# --- The machine ---


@pytest.mark.parametrize("command", ["serve", "local"])
def test_a_port_in_use_is_refused(bundle: Bundle, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        parts = [f"HTTP_PORT is {port}", "Address already in use", "choose another port"]
        bundle.rejects({"HTTP_PORT": port}, *parts, command=command)


def test_an_address_of_another_machine_is_refused(bundle: Bundle) -> None:
    # 192.0.2.0/24 is reserved for documentation.
    bundle.rejects({"HTTP_ADDRESS": "192.0.2.1"}, "HTTP_ADDRESS 192.0.2.1", "Cannot assign")


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("nginx version: nginx/1.18.0", ["nginx 1.18", "too old", "install 1.22 or newer"]),
        ("nginx version: nginx/0.99.1", ["nginx 0.99", "too old", "install 1.22 or newer"]),
        ("what?", ["does not print its version", "'what?'", "reinstall nginx"]),
    ],
)
def test_an_nginx_that_is_too_old_is_refused(
    bundle: Bundle, fake: Callable, said: str, parts: list[str]
) -> None:
    fake("nginx", f"echo '{said}' >&2")
    bundle.rejects({}, *parts)


def test_a_missing_envsubst_is_refused(bundle: Bundle, fake: Callable, tmp_path: Path) -> None:
    fake("nginx", "echo 'nginx version: nginx/1.30.0' >&2")
    bundle.path = str(tmp_path / "bin")
    bundle.rejects({}, "envsubst is not installed", "apt-get install gettext-base")


def test_a_configuration_that_nginx_does_not_accept_is_refused(bundle: Bundle) -> None:
    with (bundle.folder / "nginx" / "nginx.conf").open("a") as file:
        file.write("nonsense on;\n")
    process = bundle.start("serve", {})
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == REJECTED, err
    assert 'unknown directive "nonsense"' in err
    assert "deploy: nginx rejects its configuration" in err
    assert "Starting uWSGI" not in out + err
    bundle.assert_nothing_runs()


def test_a_missing_compiler_is_told_before_anything_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", PROJECT / "deploy" / "prerequisites.sh", "build"],
        env={"PATH": str(tmp_path), "PYTHON": sys.executable, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "lacks" in done.stderr
    assert "a C compiler (no-such-compiler)" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


# --- The folder it runs in ---


def test_a_run_dir_that_cannot_be_made_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run_dir = str(tmp_path / "file" / "run")
    bundle.rejects({"RUN_DIR": run_dir}, "RUN_DIR", run_dir, "set a directory of your own")


def test_a_run_dir_too_long_for_a_socket_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    run_dir = str(tmp_path / ("long" * 25))
    bundle.rejects({"RUN_DIR": run_dir}, "RUN_DIR", run_dir, "choose a shorter one")


@pytest.mark.parametrize("character", [":", "'", "$", "`", "\n"])
def test_a_run_dir_that_uwsgi_would_misread_is_refused(bundle: Bundle, character: str) -> None:
    # With a colon, uWSGI would listen on a TCP port, which allows remote code execution.
    run_dir = f"{bundle.folder}/a{character}b"
    bundle.rejects({"RUN_DIR": run_dir}, "RUN_DIR", repr(character), "name another directory")


def planted_directory(path: Path, _bundle: Bundle) -> str:
    path.mkdir()
    os.chown(path, OTHER_USER, OTHER_USER)
    return str(path)


def planted_link(path: Path, bundle: Bundle) -> str:
    (bundle.folder / "elsewhere").mkdir()
    path.symlink_to(bundle.folder / "elsewhere")
    os.lchown(path, OTHER_USER, OTHER_USER)
    return str(path)


def planted_dangling_link(path: Path, bundle: Bundle) -> str:
    path.symlink_to(bundle.folder / "nowhere")
    os.lchown(path, OTHER_USER, OTHER_USER)
    return str(path)


def planted_parent(path: Path, bundle: Bundle) -> str:
    return planted_directory(path, bundle) + "/run"


def planted_parent_link(path: Path, bundle: Bundle) -> str:
    return planted_link(path, bundle) + "/run"


def link_to_a_planted_directory(path: Path, bundle: Bundle) -> str:
    planted_directory(path, bundle)
    (bundle.folder / "ours").symlink_to(path)
    return str(bundle.folder / "ours")


OTHER_USER = 12345
PLANTED = [
    *(planted_directory, planted_link, planted_dangling_link),
    *(planted_parent, planted_parent_link, link_to_a_planted_directory),
]


@pytest.fixture
def shared_directory(bundle: Bundle) -> Path:
    """One like /tmp, where every user can make files."""
    path = bundle.folder / "shared"
    path.mkdir()
    path.chmod(0o1777)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user has made")
@pytest.mark.parametrize("command", ["serve", "local"])
@pytest.mark.parametrize("plant", PLANTED)
def test_a_run_dir_that_another_user_has_prepared_is_rejected(
    bundle: Bundle, shared_directory: Path, plant: Callable[[Path, Bundle], str], command: str
) -> None:
    run_dir = plant(shared_directory / "site", bundle)
    parts = [f"RUN_DIR is {run_dir!r}", f"belongs to user {OTHER_USER}", "name a directory"]
    bundle.rejects({"RUN_DIR": run_dir}, *parts, command=command)
    assert not (bundle.folder / "elsewhere" / "run").exists()
    assert not (bundle.folder / "nowhere").exists()


@pytest.mark.parametrize("command", ["serve", "local"])
def test_a_run_dir_that_every_user_can_write_to_is_rejected(
    bundle: Bundle, shared_directory: Path, command: str
) -> None:
    (shared_directory / "lock").touch()
    run_dir = str(shared_directory)
    parts = [f"RUN_DIR is {run_dir!r}", "mode 1777", f"{run_dir}/site"]
    bundle.rejects({"RUN_DIR": run_dir}, *parts, command=command)


def test_a_run_dir_that_is_made_in_a_shared_directory_is_served_from(
    bundle: Bundle, shared_directory: Path
) -> None:
    with serving(bundle, {"RUN_DIR": str(shared_directory / "site")}):
        pass


@pytest.mark.parametrize("mode", [0o755, 0o2751, 0o2752, 0o777])
def test_a_folder_of_sockets_that_others_can_enter_is_refused(bundle: Bundle, mode: int) -> None:
    # As a file system without modes, or a volume without options, would have it.
    sockets = bundle.run_dir / "sockets"
    sockets.mkdir(parents=True)
    sockets.chmod(mode)
    bundle.rejects({}, str(sockets), f"mode {mode:04o}", "chmod 2750", command="app")


@pytest.mark.parametrize("name", ["nginx", "static", "sockets"])
def test_a_run_dir_with_a_folder_of_somebody_else_is_refused(
    bundle: Bundle, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "etc" / name / "precious"
    file.parent.mkdir(parents=True)
    file.touch()
    run_dir = str(tmp_path / "etc")
    bundle.rejects({"RUN_DIR": run_dir}, "RUN_DIR", run_dir, repr(name), "set a directory")
    assert file.exists()


def test_a_folder_with_an_nginx_of_somebody_else_is_not_rendered_into(bundle: Bundle) -> None:
    there = str(bundle.folder)
    bundle.rejects(
        {}, f"{there}/nginx belongs to another program", "name another", command="render", to=there
    )
    assert (bundle.folder / "nginx" / "nginx.conf").exists()


@pytest.mark.parametrize("command", ["serve", "local"])
def test_a_run_dir_that_is_in_use_is_refused(bundle: Bundle, command: str) -> None:
    with serving(bundle, {}):
        process = bundle.start(command, {"HTTP_PORT": str(free_port())})
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == REJECTED, err
        assert str(bundle.run_dir) in err
        assert "give this one a RUN_DIR and an HTTP_PORT of its own" in err
        connection = http.client.HTTPConnection("127.0.0.1", bundle.port, timeout=SECONDS)
        connection.request("GET", "/path/")
        assert connection.getresponse().status == 200, "the first one was disturbed"
        connection.close()


# --- Containers ---


@pytest.fixture
def compose(bundle: Bundle) -> Iterator[Callable]:
    """Run Docker Compose on this bundle."""
    for name in ("Dockerfile", "docker-compose.yml", ".dockerignore"):
        shutil.copy(PROJECT / name, bundle.folder)
    project = f"refusals-{bundle.port}"

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess:
        environment = {"PATH": bundle.path, "HOME": str(Path.home())}
        return subprocess.run(
            ["docker", "compose", "--project-name", project, *arguments],
            cwd=bundle.folder,
            env=environment | {"HTTP_PORT": str(bundle.port)} | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    built = run("build")
    try:
        assert built.returncode == 0, built.stderr
        yield run
    finally:
        run("down", "--volumes", "--timeout", "1")
        # Not `down --rmi local`, which leaves images behind.
        images = [f"{project}-{service}" for service in ("app", "nginx")]
        subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=False)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_containers_refuse_at_once_too(bundle: Bundle, compose: Callable) -> None:
    (bundle.folder / "broken.py").write_text("1 / 0\n")
    assert compose("build").returncode == 0
    for settings, parts in [
        ({"THREADS": "many"}, ["deploy: THREADS is 'many'", "from 1 to 1024"]),
        ({"MOUNTS": "/path=broken:app"}, ["Traceback", "'broken:app' cannot be loaded"]),
    ]:
        started = compose("up", "--wait", **settings)
        logs = compose("logs", "app").stdout
        assert started.returncode != 0, f"{settings} was taken"
        assert all(part in logs for part in parts), logs
        state = compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.ExitCode}}").stdout
        assert "app exited 2" in state, state
        assert "nginx running" not in state, state
        compose("down", "--volumes", "--timeout", "1")


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_in_a_container_without_nginx_serve_says_what_to_install(compose: Callable) -> None:
    done = compose("run", "--rm", "--no-deps", "app", "python", "-m", "deploy", "serve")
    assert done.returncode == REJECTED, done.stderr
    sentence = "deploy: nginx is not installed; type: apt-get install nginx"
    assert sentence in (done.stdout + done.stderr).splitlines()


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_usable_cpus_are_a_containers_share_of_them(compose: Callable) -> None:
    ask = "from deploy.settings.knobs import usable_cpus; print(usable_cpus())"
    done = compose("run", "--rm", "--no-deps", "app", "python", "-c", ask, APP_CPUS="0.5")
    assert done.stdout.strip() == "1", done.stderr
