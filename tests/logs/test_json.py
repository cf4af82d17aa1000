"""LOG_FORMAT=json: each line of each process is an object, from the first to the last."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.server import logs
from deploy.settings import knobs
from tests.servers import PROJECT, ComposeSite, HostSite, NotServedError, Serve, until

APPS = Path(__file__).parent / "apps"
APP = {"files": [APPS / "talkative.py"], "MOUNTS": "/path=talkative:app /plain=talkative:plain"}
BROKEN = "\nraise RuntimeError('broken')\n"


def objects(log: str) -> list[dict[str, Any]]:
    """The lines of a log; each has to be an object."""
    found = [json.loads(line) for line in log.splitlines()]
    assert [line for line in found if not isinstance(line, dict)] == []
    return found


def deploy(site: HostSite | ComposeSite, command: str) -> int:
    """Run a command of the bundle in the site's folder; its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "deploy", command],
        cwd=site.folder,
        env=site.environment,
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode


def test_each_line_is_an_object_through_a_start_errors_a_rollout_a_reload_and_a_stop(
    serve: Serve,
) -> None:
    site = serve("host", WORKERS=2, THREADS=2, REQUEST_TIMEOUT=5, LOG_FORMAT="json", **APP)
    assert isinstance(site, HostSite)

    ids = {}
    for path in ("boom/b", "print/p", "thread/t", "child/c", "slow/s"):
        ids[path] = site.ask(f"/path/{path}?q=1").headers["X-Request-ID"]
    site.ask(b"/path/\xff?q=1")  # not UTF-8
    site.ask("/path/warn/w", method="POST", body=b"x" * 17 * 1024**2)  # nginx's error log
    app = site.folder / "talkative.py"
    whole = app.read_text()
    app.write_text(whole + BROKEN)
    assert deploy(site, "rollout") != 0
    app.write_text(whole)
    assert deploy(site, "rollout") == 0
    os.kill(next(p.pid for p in site.processes() if p.name() == "start.sh"), signal.SIGHUP)
    assert site.ask("/path/").status == 200
    site.signal(signal.SIGTERM)
    assert site.wait(120) == 0, site.logs()

    lines = objects(site.logs())
    by_message = {line["message"]: line for line in lines if "message" in line}

    def is_of(path: str, message: str) -> dict[str, Any]:
        line = by_message[message]
        assert line["request_id"] == ids[path]
        assert line["worker"] in {1, 2}
        return line

    traceback = is_of("boom/b", "Exception on /boom/b [GET]")["traceback"]
    assert re.fullmatch(r"Traceback .*\n  File (?s:.*)\nLookupError: b", traceback)
    for printed in ("printed p", '{"own": "json"} p', "two lines\np", "part one p, part two"):
        assert is_of("print/p", printed)["stream"] == (
            "stderr" if printed.startswith("part") else "stdout"
        )
    assert next(line for line in lines if line.get("own") == "p")["request_id"] == ids["print/p"]
    is_of("print/p", "to wsgi.errors p")
    is_of("print/p", next(m for m in by_message if "UserWarning: warned p\n" in m))
    chained = is_of("print/p", "ValueError: invalid literal for int() with base 10: 'p'")
    assert chained["traceback"].count("Traceback (most recent call last):") == 2
    (in_thread,) = (m for m in by_message if m.startswith("Exception in thread "))
    assert by_message[in_thread]["traceback"].endswith("\nLookupError: t")
    assert by_message["{child c"].keys() == {"time", "message"}
    late = next(m for m in by_message if " has run for " in m)
    assert "\n  File " in late
    is_of("slow/s", late)
    (nginx,) = (line for line in lines if "too large body" in line.get("message", ""))
    assert nginx["level"] == "error"
    access = {line["connection"]: line for line in lines if "status" in line}
    assert access[nginx["connection"]]["status"] == 413
    assert any("Serving talkative:app at" in message for message in by_message)
    assert "goodbye to uWSGI." in by_message


def test_a_start_that_fails_is_objects_too(tmp_path: Path) -> None:
    app = tmp_path / "broken.py"
    app.write_text("print('loading')\nraise RuntimeError('broken')\n")
    with (
        pytest.raises(NotServedError) as failed,
        HostSite(files=[app], MOUNTS="/path=broken:app", LOG_FORMAT="json"),
    ):
        pass
    printed, traceback, reason = objects(str(failed.value).partition("\n")[2])
    assert printed["message"] == "loading"
    assert traceback["message"] == "RuntimeError: broken"
    assert traceback["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert reason["message"].startswith("deploy: MOUNTS: 'broken:app' cannot be loaded")


def test_text_is_for_people(serve: Serve) -> None:
    """And a traceback in it is one write."""
    site = serve("host", WORKERS=2, THREADS=2, LOG_FORMAT="text", **APP)
    request_id = site.ask("/path/boom/b").headers["X-Request-ID"]
    line = until(
        lambda: re.search(
            rf"^\S+ 500 [\d.]+s GET /path/boom/b \(id {request_id}, .*$", site.logs(), re.M
        ),
        "the access log",
    )
    assert line[0].startswith("20")
    assert not [line for line in site.logs().splitlines() if line.startswith('{"time"')]


# --- In containers ---


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_line_of_each_container_is_an_object_and_no_healthcheck_is_logged(
    serve: Serve, tmp_path: Path
) -> None:
    site = serve("compose", WORKERS=2, THREADS=2, LOG_FORMAT="json", REQUEST_TIMEOUT=5, **APP)
    assert isinstance(site, ComposeSite)
    followed = {}
    for name in site.containers():  # a rollout removes the old one
        command = ["docker", "logs", "--follow", name]
        with (tmp_path / name).open("wb") as log:
            followed[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    for path in ("boom/b", "print/p", "thread/t", "child/c", "slow/s"):
        site.ask(f"/path/{path}")
    assert deploy(site, "rollout") == 0
    last = site.ask("/path/").headers["X-Request-ID"]
    site.access(last)
    site.compose("stop")
    logs = [site.logs("app"), site.logs("nginx")]
    for name, process in followed.items():
        assert process.wait(120) == 0
        logs.append((tmp_path / name).read_text())
    lines = [line for log in logs for line in objects(log)]
    assert any(line.get("traceback", "").endswith("LookupError: b") for line in lines)
    assert any(line.get("message") == "goodbye to uWSGI." for line in lines)
    accessed = {line["uri"]: line for line in objects(logs[1]) if "status" in line}
    assert accessed.keys() == {
        *(f"/path/{path}" for path in ("boom/b", "print/p", "thread/t", "child/c", "slow/s", ""))
    }
    assert accessed["/path/"]["request_id"] == last

    site.environment["LOG_FORMAT"] = "xml"
    done = site.compose("run", "--rm", "--no-deps", "app", check=False)
    assert "LOG_FORMAT is 'xml'; write auto, json or text." in done.stdout + done.stderr


# --- What `auto` is ---


@pytest.mark.parametrize(
    ("environment", "terminal", "expected"),
    [
        ("production", False, "json"),
        ("production", True, "text"),
        ("staging", False, "text"),
        ("development", False, "text"),
    ],
)
def test_auto_is_json_in_production_unless_it_goes_to_a_terminal(
    environment: str, terminal: bool, expected: str
) -> None:
    ours, its = pty.openpty() if terminal else os.pipe()
    relay = [logs.RELAY, "sh", "-c", "echo $LOG_FORMAT"]
    python = [
        sys.executable,
        "-c",
        "from deploy.settings import knobs; print(knobs.read().environment['LOG_FORMAT'])",
    ]
    settings = {"LOG_FORMAT": "auto", "ENVIRONMENT": environment, "SERVER_NAMES": "example.com"}
    settings |= {"SECRET_KEY": "0123456789abcdefghij", "TRUSTED_PROXIES": "10.0.0.1"}
    for command in (relay, python):
        subprocess.run(
            command, cwd=PROJECT, env=os.environ | settings, stdout=its, check=True, timeout=60
        )
        said = os.read(ours, 999).decode()
        said = json.loads(said)["message"] if said.startswith("{") else said.strip()
        assert said == expected
    os.close(ours)
    os.close(its)


# --- The relay alone ---


def relayed(lines: str | bytes, **environment: str) -> str:
    """What the relay makes of some lines."""
    data = lines if isinstance(lines, bytes) else lines.encode()
    done = subprocess.run(
        [logs.RELAY],
        input=data,
        env=os.environ | {"LOG_FORMAT": "json"} | environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == b""
    return done.stdout.decode()


CHAIN = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
    f()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 2, in f
ValueError: y
"""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("plain\n\n  \nlines\r\n", [{"message": "plain"}, {"message": "lines"}]),
        ('a "quote", a \\ and a \x1b[1m\t\n', [{"message": 'a "quote", a \\ and a \x1b[1m'}]),
        ("no end", [{"message": "no end"}]),
        (b"\xff\xc3\xa9 \xed\xa0\x80\n", [{"message": "\ufffdé \ufffd\ufffd\ufffd"}]),
        ("{'a': 1}\n{]}\n", [{"message": "{'a': 1}"}, {"message": "{]}"}]),
        ('{"a": [1, -2.5e3, {"b": null}], "c": ""}\n', [{"a": [1, -2500.0, {"b": None}], "c": ""}]),
        ('{"a": 01}\n{"a": 1} {}\n', [{"message": '{"a": 01}'}, {"message": '{"a": 1} {}'}]),
        ('{"time":"x","a":\n', [{"message": '{"time":"x","a":'}]),
        ("Thread 1:\n  File a\n  File b\nThread 2:\n", [
            {"message": "Thread 1:\n  File a\n  File b"}, {"message": "Thread 2:"},
        ]),
        (f"before\n{CHAIN}deploy: after\n", [
            {"message": "before"},
            {"level": "error", "message": "ValueError: y", "traceback": CHAIN.rstrip()},
            {"message": "deploy: after"},
        ]),
        ("2026/11/30 02:00:00 [crit] 7#7: *12 open() failed\n", [
            {"level": "crit", "connection": 12, "message": "open() failed"},
        ]),
    ],
)  # fmt: skip
def test_what_is_no_object_becomes_one(lines: str, expected: list[dict[str, Any]]) -> None:
    found = objects(relayed(lines))
    for line in found:
        if "message" in line:
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line.pop("time"))
    assert found == expected


def test_an_object_is_passed_on_as_it_is() -> None:
    lines = '{"time":"2026","a":"é \\u00e9"}\n' * 10_000 + '{"b": 1}\n'
    assert relayed(lines) == lines


def test_a_traceback_that_comes_in_pieces_is_put_together() -> None:
    command = (
        'printf "Traceback (most recent call last):\\n"; printf "  File a\\n"; printf "E: x\\n"'
    )
    done = subprocess.run(
        [logs.RELAY, "sh", "-c", command],
        env=os.environ | {"LOG_FORMAT": "json"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    (line,) = objects(done.stdout)
    assert line["traceback"].endswith("\n  File a\nE: x")


def test_a_terminal_gets_colours_and_the_time_of_day_and_nothing_else_does() -> None:
    lines = (
        "2026-11-30T10:00:00+00:00 500 0.001s GET /path/ (id 1, client ::1)\n"
        "[2026-11-30 10:00:00,000] ERROR in app: Exception\n"
        "deploy: a sentence\nplain\n"
    )
    assert relayed(lines, LOG_FORMAT="text") == lines
    for variables, expected in (
        ({}, "10:00:00 \x1b[31m500\x1b[0m 0.001s GET"),
        ({"NO_COLOR": "1"}, "2026-11-30T10:00:00+00:00 500 0.001s GET"),
    ):
        ours, its = pty.openpty()
        subprocess.run(
            [logs.RELAY],
            input=lines.encode(),
            env=os.environ | {"LOG_FORMAT": "text"} | variables,
            stdout=its,
            check=True,
            timeout=60,
        )
        os.close(its)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        assert said.startswith(expected)
        assert ("\x1b[31mdeploy: a sentence\x1b[0m" in said) == (not variables)
        assert "\nplain\r\n" in said


def test_a_wrong_format_is_a_sentence() -> None:
    with pytest.raises(knobs.Refusal, match=r"^LOG_FORMAT is 'xml'; write auto, json or text.$"):
        knobs.read({"LOG_FORMAT": "xml"}, PROJECT / "tests")
