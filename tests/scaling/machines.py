"""Machines on one machine: namespaces of Linux, with a network of their own between them."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from deploy.server.programs import ending_with_this
from tests.servers import until

# The network has no connection to this machine's, so any addresses do.
GATEWAY = "10.99.0.254"
# The first process of a machine. There are no name servers, and a shell that waits reaps what other
# processes leave behind. sysfs has the network cards of the network in which it is mounted.
BOOT = """
set -e
hostname "$0"
mount -t tmpfs tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
: >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
: >/run/booted
sleep infinity & wait
"""


def are_missing() -> str:
    """What this machine lacks for them; empty if nothing."""
    if os.geteuid() != 0:
        return "only root can make namespaces with addresses of their own"
    for program, package in (("ip", "iproute2"), ("haproxy", "haproxy"), ("nsenter", "util-linux")):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            return f"install {package}, for the tests with several machines"
    made = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True)
    return made.stderr.decode()


class Machine:
    """Processes, mounts, a network card and a host name of their own.

    All of it is gone when this process has ended, even by SIGKILL: then the kernel kills the first
    process of the namespace, and with that all others.

    Args:
        name: the host name.
        network: the process whose network has the other end of its cable.
        address: in the network of GATEWAY.
    """

    def __init__(self, name: str, network: int, address: str) -> None:
        self.name, self.address = name, address
        self._network, self._cable = network, f"to-{name}"
        self._parent = subprocess.Popen(
            [
                *ending_with_this("KILL"),
                *("unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child"),
                *("--mount-proc", "sh", "-c", BOOT, name),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._init = until(self._first_process, f"{name}'s first process")
        until(self._has_booted, f"{name}'s mounts")
        card = ("type", "veth", "peer", "name", "eth0", "netns", str(self._init))
        ip(network, "link", "add", self._cable, "mtu", "1500", *card)
        ip(network, "link", "set", self._cable, "master", "switch", "up")
        ip(self._init, "link", "set", "lo", "up")
        ip(self._init, "address", "add", f"{address}/24", "dev", "eth0")
        ip(self._init, "link", "set", "eth0", "up")
        ip(self._init, "route", "add", "default", "via", GATEWAY)

    def entered(self, command: Sequence[str], folder: Path) -> list[str]:
        """A command that runs another one there, in a folder, as its child."""
        spaces = ("--net", "--pid", "--mount", "--uts", f"--wdns={folder}")
        return ["nsenter", f"--target={self._init}", *spaces, "--", *command]

    def lose_power(self) -> None:
        """End it with no word to any client: the cable first, then all processes."""
        ip(self._network, "link", "set", self._cable, "down")
        self.end()

    def end(self) -> None:
        """End all that runs there."""
        self._parent.kill()
        self._parent.wait()

    def _first_process(self) -> int:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._parent.pid).children():
                return child.pid
        return 0

    def _has_booted(self) -> bool:
        with contextlib.suppress(OSError):
            return (Path(f"/proc/{self._init}/root") / "run/booted").exists()
        return False


class Network:
    """A switch, and machines."""

    def __init__(self) -> None:
        self._machines: list[Machine] = []
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [*ending_with_this("KILL"), "unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        own = str(Path("/proc/self/ns/net").readlink())
        until(lambda: self._namespace() not in {"", own}, "a network")
        ip(self._process.pid, "link", "set", "lo", "up")
        ip(self._process.pid, "link", "add", "switch", "type", "bridge")
        ip(self._process.pid, "address", "add", f"{GATEWAY}/24", "dev", "switch")
        ip(self._process.pid, "link", "set", "switch", "up")

    def machine(self, name: str) -> Machine:
        """Another machine in it."""
        number = next(self._numbers)
        made = Machine(name, self._process.pid, f"10.99.0.{number}")
        self._machines.append(made)
        return made

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process at GATEWAY, which ends with this one."""
        entered = [*ending_with_this("KILL"), "nsenter", f"--net=/proc/{self._process.pid}/ns/net"]
        return subprocess.Popen(
            [*entered, *command],
            **{"stdin": subprocess.DEVNULL, "start_new_session": True} | options,
        )

    def _namespace(self) -> str:
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/{self._process.pid}/ns/net").readlink())
        return ""

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self._machines:
            machine.end()
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def haproxy(network: Network, folder: Path, configuration: str) -> Iterator[int]:
    """HAProxy at GATEWAY; its port on this machine, to which `bind :80` refers."""
    with socket.socket() as listening:
        # A socket stays in the network in which it was made.
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        file = folder / "haproxy.cfg"
        file.write_text(configuration.replace("bind :80", f"bind fd@{listening.fileno()}"))
        process = network.start(
            ["/usr/sbin/haproxy", "-db", "-f", str(file)], pass_fds=[listening.fileno()]
        )
        try:
            yield listening.getsockname()[1]
            assert process.poll() is None, "HAProxy has ended"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def ip(process: int, *words: str) -> None:
    """Run ip(8) in the network of a process."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    subprocess.run(
        ["nsenter", f"--net=/proc/{process}/ns/net", "ip", *words],
        env=os.environ | {"PATH": path},
        check=True,
    )
