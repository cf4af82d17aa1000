"""Abusive clients: `python -m tests.hostile.abuse NAME PORT SECONDS [LEAST]`.

Each comes from 127.0.0.2, so that limits of one address do not affect the others, and
runs in a process of its own, so that its work does not slow down who measures the others. At the
end it prints how often it was given which status, and how many connections it held, as JSON. LEAST
has the lowest numbers to reach, as JSON: on a slow machine it goes on for up to a minute longer.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from tests.hostile.wire import post, request

SOURCE = ("127.0.0.2", 0)


class Abuser:
    """What all kinds of abuse share: the end, connections, and a count of what came back.

    Args:
        port: where the server listens.
        seconds: how long to go on.
        least: what has to be counted by then, or it goes on.
    """

    def __init__(self, port: int, seconds: float, least: Mapping[str, int]) -> None:
        self._port = port
        self._end = time.monotonic() + seconds
        self._least = least
        self.counted: Counter[str] = Counter()

    def goes_on(self) -> bool:
        late = time.monotonic() - self._end
        enough = all(self.counted[name] >= least for name, least in self._least.items())
        return late < (0 if enough else 60)

    async def many(self, count: int, one: Callable[["Abuser"], Awaitable[None]]) -> None:
        """Run that many at once, each again and again until the end."""

        async def again() -> None:
            while self.goes_on():
                # Being thrown out is what happens to abusers.
                with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
                    await asyncio.wait_for(one(self), max(0.1, self._end - time.monotonic()))
                await asyncio.sleep(0.01)

        done = asyncio.gather(*(again() for _ in range(count)), return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await done

    @contextlib.asynccontextmanager
    async def connection(self):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=SOURCE, limit=4096
        )
        self.counted["connections"] += 1
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def status(self, reader: asyncio.StreamReader) -> None:
        line = await reader.readline()
        if line:
            self.counted[line.split()[1].decode()] += 1


async def slow_headers(abuser: Abuser) -> None:
    async with abuser.connection() as (_, writer):
        writer.write(b"GET /path/seen HTTP/1.1\r\nHost: localhost\r\n")
        for number in itertools.count():
            writer.write(b"X-%d: y\r\n" % number)
            await writer.drain()
            await asyncio.sleep(1)


async def slow_bodies(abuser: Abuser) -> None:
    async with abuser.connection() as (_, writer):
        writer.write(request("/path/read", b"Content-Length: 100000", method=b"POST"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)


async def slow_readers(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, writer):
        writer.write(request("/path/response?body=2000000"))
        await abuser.status(reader)
        while await reader.read(1024):
            await asyncio.sleep(1)


async def idle_connections(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, _):
        await reader.read()


async def a_flood(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, writer):
        writer.write(request("/path/seen", b"Connection: close"))
        await abuser.status(reader)


async def a_flood_of_slow_requests(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, writer):
        writer.write(request("/path/wait?seconds=5", b"Connection: close"))
        await abuser.status(reader)


PART = b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n'
FORM = post(
    "/path/fields",
    b"".join(PART % number for number in range(15_000)) + b"--x--\r\n",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Connection: close",
)


async def thousands_of_fields(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, writer):
        writer.write(FORM)
        await abuser.status(reader)


RANGES = b"Range: bytes=" + b",".join(b"%d-%d" % (2 * n, 2 * n) for n in range(600))


async def many_ranges(abuser: Abuser) -> None:
    async with abuser.connection() as (reader, writer):
        writer.write(request("/path/static/large.txt", RANGES, b"Connection: close"))
        await abuser.status(reader)
        while await reader.read(65536):
            pass


# How many of each go on at once.
KINDS = {
    slow_headers: 2_000,
    slow_bodies: 1_000,
    slow_readers: 200,
    idle_connections: 9_000,  # more than nginx's two workers have connections
    a_flood: 32,
    a_flood_of_slow_requests: 200,
    thousands_of_fields: 4,
    many_ranges: 16,
}


if __name__ == "__main__":
    name, port, seconds, *least = sys.argv[1:]
    kind = globals()[name]
    one = Abuser(int(port), float(seconds), json.loads(least[0]) if least else {})
    asyncio.run(one.many(KINDS[kind], kind))
    print(json.dumps(one.counted))
