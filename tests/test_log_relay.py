"""Requests go on while the log is not read, and the lines that this costs are counted."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.server import logs
from tests.servers import HostSite, Response, Serve, until
from tests.workers.lab import APPS

# Bytes that are more than the relay, and whatever is between it and a reader, can hold.
MUCH = 24 * 1024**2
LINE = "{:07} " + "x" * 91 + "\n"
LINES = MUCH // len(LINE.format(0))
SECONDS = 60
NOTICE = re.compile(rb"^deploy: (\d+) log lines were lost, since the log was not read\.\r?$", re.M)


def counted(said: bytes) -> int:
    """The lines that came, and those that were lost."""
    notices = [int(number) for number in NOTICE.findall(said)]
    assert sum(notices) > 0
    return said.count(b"\n") - len(notices) + sum(notices)


class HeardSite(HostSite):
    """A site whose standard output is a pipe, which is read for as long as the test wants."""

    def __init__(self, **knobs: Any) -> None:
        super().__init__(files=[APPS / "lab.py"], MOUNTS="/path=lab:app", **knobs)
        os.mkfifo(self._log)
        self._said = bytearray()
        self._responses = 0
        self.read = threading.Event()
        self.read.set()
        self.gone = False
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    def command(self) -> list[str]:
        # uWSGI's own messages are not to be counted.
        return ["sh", "-c", 'exec "$@" 2>errors.log', "sh", *super().command()]

    def _listen(self) -> None:
        with self._log.open("rb", buffering=0) as log:
            while not self.gone and (lines := log.read(65536)):
                self._said += lines
                self.read.wait()

    def ask(self, *args: Any, **kwargs: Any) -> Response:
        response = super().ask(*args, **kwargs)
        self._responses += 1
        return response

    @property
    def accessed(self) -> int:
        """The lines in the access log: `serve` sends a request, too."""
        return self._responses + 1

    @property
    def said(self) -> bytes:
        return bytes(self._said)

    def logs(self, *services: str) -> str:
        return self.said.decode(errors="replace") + (self.folder / "errors.log").read_text()

    def print(self, times: int) -> Counter[int]:
        """Request a view that prints 40 lines of 400 kB together, and count the statuses."""
        with ThreadPoolExecutor(8) as clients:
            responses = clients.map(lambda _: self.ask("/path/print"), range(times))
            return Counter(response.status for response in responses)

    def stop(self) -> None:
        processes = self.processes()
        self.signal(signal.SIGTERM)
        assert self.wait(SECONDS) == 0, self.logs()
        _, left = psutil.wait_procs(processes, timeout=SECONDS)
        assert not left
        self._reader.join()

    def clean_up(self) -> None:
        self.read.set()
        super().clean_up()
        self._reader.join()


@pytest.fixture
def heard() -> Iterator[HeardSite]:
    with HeardSite(WORKERS=2, THREADS=4) as site:
        yield site


def test_requests_go_on_while_the_log_is_not_read_and_lost_lines_are_counted(
    heard: HeardSite,
) -> None:
    heard.read.clear()
    times = MUCH // 400_000
    assert heard.print(times) == {200: times}
    heard.read.set()
    until(lambda: NOTICE.search(heard.said), "the number of lost lines", SECONDS)
    assert heard.ask("/path/").status == 200
    heard.stop()
    # Five say where it serves, and what runs where.
    assert counted(heard.said) == 5 + 40 * times + heard.accessed


def test_requests_go_on_when_what_read_the_log_is_gone_and_when_the_relay_is_killed(
    heard: HeardSite,
) -> None:
    relay = next(p for p in heard.processes() if p.name() == Path(logs.RELAY).name)
    relay.kill()
    before = heard.said.count(b"L" * 60)
    assert heard.print(8) == {200: 8}
    until(lambda: heard.said.count(b"L" * 60) - before == 8 * 20, "all lines", SECONDS)
    heard.gone = True
    assert heard.print(8) == {200: 8}
    heard.stop()


def test_without_nginx_too_requests_go_on_when_what_read_the_log_is_gone() -> None:
    with HeardSite(command="local", WORKERS=1, THREADS=4) as site:
        site.gone = True
        assert site.print(8) == {200: 8}
        site.stop()


# --- The relay alone ---


def lines() -> bytes:
    return "".join(map(LINE.format, range(LINES))).encode()


def from_a_pipe() -> tuple[int, int]:
    return os.pipe()


def from_a_socket() -> tuple[int, int]:
    ours, its = socket.socketpair()
    return ours.detach(), its.detach()


def from_a_paused_terminal() -> tuple[int, int]:
    ours, its = pty.openpty()
    settings = termios.tcgetattr(its)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(its, termios.TCSANOW, settings)
    os.write(ours, b"\x13")  # Ctrl-S
    return ours, its


@pytest.mark.parametrize("make", [from_a_pipe, from_a_socket, from_a_paused_terminal])
def test_the_number_of_lost_lines_is_right(make: Any) -> None:
    ours, its = make()
    relay = subprocess.Popen([logs.RELAY], stdin=subprocess.PIPE, stdout=its)
    os.close(its)
    relay.stdin.write(lines())
    relay.stdin.flush()  # which returns, although nothing is read
    if make is from_a_paused_terminal:
        os.write(ours, b"\x11")  # Ctrl-Q
    said = bytearray()
    while not NOTICE.search(said[-100:]):
        said += os.read(ours, 65536)
    relay.stdin.write(b"the end\n")
    relay.stdin.close()
    while b"the end" not in said[-9:]:
        said += os.read(ours, 65536)
    assert relay.wait(SECONDS) == 0
    os.close(ours)
    assert counted(bytes(said)) == LINES + 1
    *whole, _, _, _ = said.split(b"\n")
    assert all(len(line.rstrip()) == 99 for line in whole)


def test_an_ordinary_burst_is_not_lost() -> None:
    command = [logs.RELAY, sys.executable, "-c", "for n in range(50_000): print(n, 'x' * 91)"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(n) for n in range(50_000)]


COMMAND = """
import signal, sys
signal.signal(signal.SIGQUIT, lambda *_: sys.exit('last words on standard error'))
print('ready', flush=True)
signal.pause()
"""


def test_a_command_gets_signals_and_its_last_words_and_its_exit_status_are_passed_on() -> None:
    relay = subprocess.Popen(
        [logs.RELAY, sys.executable, "-c", COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert relay.stdout.readline() == "ready\n"
    relay.send_signal(signal.SIGQUIT)
    assert relay.communicate(timeout=SECONDS) == ("", "last words on standard error\n")
    assert relay.returncode == 1


@pytest.mark.parametrize(
    ("script", "status"), [("exit 22", 22), ("kill -KILL $$", 128 + 9), ("sleep 600 & exit 3", 3)]
)
def test_the_relay_ends_with_its_command(script: str, status: int) -> None:
    relay = subprocess.Popen(
        [logs.RELAY, "sh", "-c", f"echo here; {script}"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert relay.stdout.readline() == b"here\n"
        assert relay.wait(SECONDS) == status
    finally:
        relay.stdout.close()
        with contextlib.suppress(ProcessLookupError):  # what the command has left
            os.killpg(relay.pid, signal.SIGKILL)


def test_a_log_that_is_not_read_does_not_hold_up_the_end() -> None:
    read, write = os.pipe()
    with subprocess.Popen([logs.RELAY], stdin=subprocess.PIPE, stdout=write) as relay:
        relay.communicate(lines(), timeout=SECONDS)
        assert relay.returncode == 0
    os.close(read)
    os.close(write)


# --- In containers ---


@pytest.mark.docker
def test_each_container_has_a_relay(shared_site: Serve) -> None:
    site = shared_site("compose", WORKERS=4, THREADS=4)
    for service in ("app", "nginx"):
        said = site.compose("exec", "-T", service, "cat", "/proc/1/cmdline").stdout
        assert said.split("\0")[1].endswith("log_relay.pl"), service


CONTAINER = f"""
my $line = "x" x 99 . "\\n";
print $line for 1..{LINES};
open my $done, ">", "/tmp/done";
sleep 1 until -e "/tmp/end";
print "the end\\n";
"""


@pytest.mark.docker
def test_a_container_goes_on_while_a_paused_terminal_is_attached_to_it(shared_site: Serve) -> None:
    site = shared_site("compose", WORKERS=4, THREADS=4)
    name = f"{site.name}-not-read"
    command = ["log_relay.pl", "perl", "-e", CONTAINER]
    run = ["docker", "run", "--rm", "--name", name, f"{site.name}-nginx", *command]
    in_it = ["docker", "exec", name]
    terminal = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        until(lambda: ran([*in_it, "test", "-e", "/tmp/done"]), "all lines written", SECONDS)
        said = bytearray()
        while not NOTICE.search(said[-100:]):
            said += os.read(terminal.stdout.fileno(), 65536)
        assert ran([*in_it, "touch", "/tmp/end"])
        said += terminal.stdout.read()
        assert terminal.wait(SECONDS) == 0
    finally:
        ran(["docker", "rm", "--force", name])
        terminal.kill()
        terminal.communicate()
    assert said.endswith(b"the end\n")
    assert counted(bytes(said)) == LINES + 1


def ran(command: list[str]) -> bool:
    return not subprocess.run(command, capture_output=True, check=False).returncode
