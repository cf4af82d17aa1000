"""A constant load, with a record of each response."""

import asyncio
import contextlib
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

CONNECTIONS = 32
RATE = 300  # requests a second, all connections together
_TIMEOUT = 30  # seconds


IDLE_CLOSED = "its idle connection was closed just when it was sent"


class ClosedError(Exception):
    """A connection that was closed before the first byte of a response."""


@dataclass(frozen=True)
class Request:
    """A request as its client saw it.

    Args:
        id: its number.
        post: whether it was a POST, which the app counts.
        sent: when, in seconds.
        took: seconds until the response was complete.
        said: the body of the response.
        problem: why it failed; empty if the status is 200.
    """

    id: int
    post: bool
    sent: float
    took: float
    said: str
    problem: str


class Load:
    """300 requests a second on 32 connections that stay open, every fourth a POST, in a thread.

    A GET is sent again if the server closed its connection, which was idle until then, just when
    it was sent: HTTP tells clients to do so (RFC 9112, 9.3.1), and all do. Nothing else is sent
    again: what fails has failed.

    Args:
        port: of nginx on this machine.
        mount: where the app is.
    """

    def __init__(self, port: int, mount: str = "/path") -> None:
        self.requests: list[Request] = []
        self._port, self._mount = port, mount
        self._name = uuid.uuid4().hex
        self._ids = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def until(self, number: int) -> None:
        """Return when that many requests are finished or have failed."""
        while len(self.requests) < number:
            time.sleep(0.05)
            assert self._thread.is_alive(), "the load has ended by itself"

    @contextlib.contextmanager
    def around(self, requests: int) -> Iterator[Self]:
        """Before, during and after a change: so many requests in all, or more."""
        with self:
            self.until(requests // 6)
            yield self
            # As many again after the change as before it.
            self.until(max(requests, len(self.requests) + requests // 6))
        print(self.summary())

    @property
    def failed(self) -> list[Request]:
        return [request for request in self.requests if request.problem]

    @property
    def slowest(self) -> float:
        return max(request.took for request in self.requests)

    def versions(self) -> list[str]:
        """The versions that responded, in the order of their first response."""
        return list(dict.fromkeys(request.said for request in self._answered()))

    def overlap(self, old: str, new: str) -> float:
        """Seconds from the first response of a version to the last one of the previous version."""
        first = min(r.sent + r.took for r in self._answered() if r.said == new)
        last = max(r.sent + r.took for r in self._answered() if r.said == old)
        return last - first

    def miscounted(self, counted: Iterable[str]) -> list[int]:
        """POSTs that were run twice, or got a response and were not run."""
        times = Counter(counted)
        return [
            request.id
            for request in self.requests
            if request.post and times[self._counted_as(request.id)] not in _allowed(request)
        ]

    def summary(self) -> str:
        problems = Counter(request.problem for request in self.failed)
        return (
            f"{len(self.requests)} requests, {len(self.failed)} failed {dict(problems) or ''},"
            f" slowest {self.slowest:.2f} s"
        )

    def _counted_as(self, id: int) -> str:
        return f"{self._name}-{id}"

    def _answered(self) -> list[Request]:
        succeeded = [request for request in self.requests if not request.problem]
        return sorted(succeeded, key=lambda request: request.sent + request.took)

    async def _run(self) -> None:
        await asyncio.gather(*(self._connection(number) for number in range(CONNECTIONS)))

    async def _connection(self, number: int) -> None:
        streams = None
        every = CONNECTIONS / RATE
        due = time.monotonic() + every * number / CONNECTIONS
        while not self._over.is_set():
            await asyncio.sleep(due - time.monotonic())
            id = next(self._ids)
            sent, said, problem, stays = time.monotonic(), "", "", False
            try:
                async with asyncio.timeout(_TIMEOUT):
                    # As every client does: one that was closed while idle is not used again.
                    if streams and streams[0].at_eof():
                        streams[1].close()
                        streams = None
                    idle = bool(streams)
                    if not streams:
                        streams = await asyncio.open_connection("127.0.0.1", self._port)
                    try:
                        status, said, stays = await self._ask(*streams, id)
                    except ClosedError:
                        if not idle or _is_post(id):
                            raise
                        streams[1].close()
                        streams = await asyncio.open_connection("127.0.0.1", self._port)
                        status, said, stays = await self._ask(*streams, id)
                    problem = "" if status == 200 else f"status {status}"
            except ClosedError:
                problem = IDLE_CLOSED if idle else "closed without a response"
            except (OSError, EOFError, TimeoutError) as error:
                problem = repr(error)
            took = time.monotonic() - sent
            self.requests.append(Request(id, _is_post(id), sent, took, said, problem))
            if streams and not stays:
                streams[1].close()
                streams = None
            # Late, it does not try to catch up: that would be another load.
            due = max(due + every, time.monotonic())
        if streams:
            streams[1].close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, id: int
    ) -> tuple[int, str, bool]:
        line = (
            f"POST {self._mount}/count/{self._counted_as(id)}"
            if _is_post(id)
            else f"GET {self._mount}/"
        )
        writer.write(f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        try:
            first = await reader.readexactly(1)
        except (OSError, EOFError) as error:
            raise ClosedError from error
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:])}
        # The app's responses have a Content-Length. Others are error pages, and not read.
        length = headers.get("content-length")
        body = await reader.readexactly(int(length or 0))
        stays = length is not None and headers.get("connection", "").lower() != "close"
        return int(head[0].split()[1]), body.decode(), stays


def _allowed(request: Request) -> set[int]:
    """How often a POST may have been run."""
    if request.problem == IDLE_CLOSED:
        return {0}
    return {0, 1} if request.problem else {1}


def _is_post(id: int) -> bool:
    return id % 4 == 0
