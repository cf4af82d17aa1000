"""Clients that come again, thousands of them in one process: what they were told, and when."""

import asyncio
import itertools
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Try:
    """A request, and what became of it.

    Args:
        number: its own, which the app sees as well.
        began: when it was sent, by the clock that all processes share (``time.monotonic``).
        ended: when the response was complete.
        status: of the response; 0 if there was none.
        retry: whether the client was told when to come again.
    """

    number: int
    began: float
    ended: float
    status: int
    retry: bool

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass
class Crowd:
    """Clients that ask for the same, and come again until they are sent home.

    Args:
        port: where the server listens.
        path: what they ask for; ``{number}`` in it is the number of the request.
        method: GET or POST.
        pause: seconds that a client waits before it comes again.
        patience: seconds after which it hangs up.
    """

    port: int
    path: str
    method: str = "GET"
    pause: float = 0
    patience: float = 60
    tries: list[Try] = field(default_factory=list)
    _clients: list["_Client"] = field(default_factory=list)

    def come(self, number: int, within: float) -> None:
        """Let that many clients begin, one after the other within so many seconds."""
        loop = asyncio.get_running_loop()
        for index in range(number):
            client = _Client(self)
            self._clients.append(client)
            loop.call_later(within * index / number, client.begin)

    def leave(self) -> None:
        """Send all of them home, whatever they wait for."""
        for client in self._clients:
            client.leave()
        self._clients.clear()


class _Client(asyncio.Protocol):
    """One of them, with a connection that stays open."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd, self._loop = crowd, asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""
        self._number = 0  # of the request that waits for its response; 0 for none
        self._began = 0.0
        self._gone = False

    def begin(self) -> None:
        if self._gone:
            return
        self._number, self._began, self._received = next(_numbers), time.monotonic(), b""
        self._timer = self._loop.call_later(self._crowd.patience, self._hang_up)
        if self._transport:
            self._send()
        else:
            self._loop.create_task(self._connect())

    def leave(self) -> None:
        self._gone, self._number = True, 0
        self._hang_up()

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._crowd.port)
        except OSError:
            self._end(0, retry=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._number:
            self._send()
        elif self._gone:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or not self._number:
            return
        length = _LENGTH.search(head)
        whole = len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        if whole:
            if b"\r\nConnection: close" in head:
                self._transport.close()
                self._transport = None
            self._end(int(head[9:12]), retry=b"\r\nRetry-After: " in head)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._end(0, retry=False)

    def _send(self) -> None:
        path = self._crowd.path.format(number=self._number)
        # A body of one byte, for POST alone.
        body = "Content-Length: 1\r\n\r\nx" if self._crowd.method == "POST" else "\r\n"
        request = f"{self._crowd.method} {path} HTTP/1.1\r\nHost: localhost\r\n{body}"
        self._transport.write(request.encode())

    def _end(self, status: int, retry: bool) -> None:
        if not self._number or self._gone:
            return
        now = time.monotonic()
        self._crowd.tries.append(Try(self._number, self._began, now, status, retry))
        self._number = 0
        self._timer.cancel()
        self._loop.call_later(self._crowd.pause, self.begin)

    def _hang_up(self) -> None:
        if self._transport:
            self._transport.abort()
        else:
            self._end(0, retry=False)


def percentile(values: Iterable[float], part: float) -> float:
    """The value that so large a part of the values does not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
