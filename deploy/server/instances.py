"""State of the instances of uWSGI, for ``python -m deploy status``."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.server import promotion

# From linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h; see sock_diag(7).
_SOCK_DIAG, _BY_FAMILY, _DUMP_REQUEST, _DONE = 4, 20, 0x301, 3
_LISTENING = 1 << 10
_SHOW_NAME, _SHOW_QUEUE = 0x01, 0x10
_NAME, _QUEUE = 0, 4


@dataclass(frozen=True)
class Instance:
    """One uWSGI.

    Args:
        name: of its socket.
        live: whether it is live.
        live_since: when it went live, in seconds of the epoch; None when it is not live.
        workers: processes that run the app.
        busy: how many of their threads have a request.
        requests: handled by its workers.
        queue: length of the listen backlog; None when it runs in another container.
    """

    name: str
    live: bool
    live_since: float | None
    workers: int
    busy: int
    requests: int
    queue: int | None


def look(sockets: Path) -> list[Instance]:
    """The running instances, by their sockets in a directory."""
    live, queues = promotion.live_instance(sockets), _queues()
    return [
        _instance(path, path.stem == live, queues)
        for path in sorted(sockets.glob("*.sock"))
        if not path.is_symlink() and promotion.listens(path)
    ]


def show() -> int:
    """Print the instances as JSON, one a line; the exit status is 0."""
    sockets, _ = promotion.here()
    for instance in look(sockets):
        print(json.dumps(asdict(instance)))
    return 0


def _instance(path: Path, live: bool, queues: dict[str, int]) -> Instance:
    with socket.socket(socket.AF_UNIX) as stats:
        stats.settimeout(5)
        stats.connect(str(path.with_suffix(".stats")))
        workers = json.loads(stats.makefile("rb").read())["workers"]
    return Instance(
        name=path.stem,
        live=live,
        live_since=path.with_name("live.sock").lstat().st_mtime if live else None,
        workers=sum(worker["pid"] > 0 for worker in workers),
        busy=sum(core["in_request"] for worker in workers for core in worker["cores"]),
        requests=sum(worker["requests"] for worker in workers),
        queue=queues.get(os.fspath(path)),
    )


def _queues() -> dict[str, int]:
    """How many connections wait at each listening unix socket of this network namespace.

    uWSGI does not know (its ``listen_queue`` is 0 for every unix socket), and ``ss``, which asks
    the kernel in this way too, is not in a slim image.
    """
    question = struct.pack(
        "=BBHIIIII", socket.AF_UNIX, 0, 0, _LISTENING, 0, _SHOW_NAME | _SHOW_QUEUE, 0, 0
    )
    header = struct.pack("=IHHII", 16 + len(question), _BY_FAMILY, _DUMP_REQUEST, 0, 0)
    queues = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.send(header + question)
        while True:
            for kind, message in _messages(kernel.recv(65536)):
                if kind == _DONE:
                    return queues
                found = dict(_attributes(message))
                if _NAME in found and _QUEUE in found:
                    name = os.fsdecode(found[_NAME].rstrip(b"\0"))
                    queues[name] = struct.unpack_from("=I", found[_QUEUE])[0]


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[-(-length // 4) * 4 :]


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    data = message[16:]  # behind unix_diag_msg
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[-(-length // 4) * 4 :]
