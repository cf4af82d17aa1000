"""A connection on which any bytes can be sent, well-formed or not."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Self


@dataclass(frozen=True)
class Reply:
    """One response, read to its end."""

    status: int
    headers: Message
    body: bytes


class ClosedError(Exception):
    """The server closed the connection where a response was expected, or in the middle of one."""


class Wire:
    """A TCP connection to a server of this machine.

    Args:
        port: where the server listens.
        timeout: seconds to wait for anything.
        source: the address to come from; on Linux all of 127.0.0.0/8 is this machine's.
    """

    def __init__(self, port: int, timeout: float = 60, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        self.socket.settimeout(timeout)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> Self:
        """Send raw bytes. A server that has closed the connection may still have responded."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.socket.sendall(b"".join(parts))
        return self

    def reply(self) -> Reply:
        """Read the next response that is not a 1xx.

        Raises:
            ClosedError: there is none, or not all of it.
            TimeoutError: nothing comes, and the connection stays open.
        """
        while (reply := self._reply()).status < 200:
            pass
        return reply

    def _reply(self) -> Reply:
        try:
            line = self._file.readline().split(maxsplit=2)
            if not line or not line[0].startswith(b"HTTP/"):
                raise ClosedError("closed before a response, or HTTP 0.9, which has no status")
            status = int(line[1])
            headers = self._headers()
            return Reply(status, headers, b"".join(self._body(status, headers)))
        except ConnectionResetError:
            raise ClosedError("reset") from None

    def _headers(self) -> Message:
        # Not http.client's parser, which takes no more than 100 of them.
        headers = Message()
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name] = value.strip()
        return headers

    def _body(self, status: int, headers: Message) -> Iterator[bytes]:
        if status < 200 or status in (204, 304):
            return
        if headers.get("Transfer-Encoding") == "chunked":
            while length := int(self._file.readline() or b"-1", 16):
                yield self._exactly(length)
                self._file.readline()
            self._file.readline()
        elif "Content-Length" in headers:
            yield self._exactly(int(headers["Content-Length"]))
        else:
            yield self._file.read()

    def _exactly(self, length: int) -> bytes:
        data = self._file.read(max(length, 0))
        if len(data) != length:
            raise ClosedError(f"closed after {len(data)} of {length} bytes of a body")
        return data

    def replies(self) -> list[Reply]:
        """All responses, until the server closes the connection or says nothing more."""
        found = []
        with contextlib.suppress(ClosedError, TimeoutError):
            while True:
                found.append(self.reply())
        return found


def request(target: str | bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    """The head of a request, with a Host."""
    raw = target.encode() if isinstance(target, str) else target
    lines = [b"%s %s HTTP/1.1" % (method, raw), b"Host: localhost", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(target: str, body: bytes, *headers: bytes) -> bytes:
    """A whole request with a body and its length."""
    return request(target, b"Content-Length: %d" % len(body), *headers, method=b"POST") + body


def chunked_post(target: str, body: bytes, *headers: bytes, size: int = 4_000) -> bytes:
    """A whole request with its body in chunks of that many bytes."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    head = request(target, b"Transfer-Encoding: chunked", *headers, method=b"POST")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
