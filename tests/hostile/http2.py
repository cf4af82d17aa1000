"""HTTP/2, well-formed or not: frames as bytes, and a table of what no client should send."""

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Self

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20

Pairs = list[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(*pairs: tuple[str, str]) -> bytes:
    """Headers, with no compression that a server has to remember."""
    return b"".join(_literal(name.encode(), value.encode("latin-1")) for name, value in pairs)


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    return _number(len(text)) + text


def _number(number: int) -> bytes:
    """A length with a prefix of seven bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    encoded = [127]
    number -= 127
    while number >= 128:
        encoded.append(number % 128 + 128)
        number //= 128
    return bytes([*encoded, number])


GET: Pairs = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/path/seen"),
]
POST: Pairs = [(":method", "POST"), *GET[1:3], (":path", "/path/read")]


def changed(name: str, value: str | None) -> Pairs:
    """The headers of a GET, one of them with another value, or without it."""
    pairs = [(n, value if n == name else v) for n, v in GET]
    return [(n, v) for n, v in pairs if v is not None]


def ask(pairs: Pairs = GET, stream: int = 1, flags: int = END_STREAM | END_HEADERS) -> bytes:
    """The frame of a request."""
    return frame(HEADERS, flags, stream, block(*pairs))


def body(data: bytes, *more: tuple[str, str], end: int = END_STREAM) -> bytes:
    """A whole request with a body."""
    return ask([*POST, *more], flags=END_HEADERS) + frame(DATA, end, 1, data)


# What a client sends after the preface and its settings.
CASES: dict[str, bytes] = {
    "a request": ask(),
    "a request with a body": body(b"hello"),
    "a request with trailers": body(b"hello", end=0)
    + frame(HEADERS, END_STREAM | END_HEADERS, 1, block(("x-trailer", "1"))),
    # Settings.
    "settings of 5 bytes": frame(SETTINGS, payload=bytes(5)),
    "settings of a stream": frame(SETTINGS, 0, 1),
    "an acknowledgement with a payload": frame(SETTINGS, ACK, 0, bytes(6)),
    "an unknown setting": frame(SETTINGS, payload=struct.pack(">HI", 0xFFFF, 1)) + ask(),
    "a window above 2^31": frame(SETTINGS, payload=struct.pack(">HI", 4, 2**31)) + ask(),
    "a window of nothing": frame(SETTINGS, payload=struct.pack(">HI", 4, 0)) + ask(),
    "frames of 1 byte": frame(SETTINGS, payload=struct.pack(">HI", 5, 1)) + ask(),
    "frames of 2^24 bytes": frame(SETTINGS, payload=struct.pack(">HI", 5, 2**24)) + ask(),
    "push of 2": frame(SETTINGS, payload=struct.pack(">HI", 2, 2)) + ask(),
    "a table of nothing": frame(SETTINGS, payload=struct.pack(">HI", 1, 0)) + ask(),
    "a table of 4 GB": frame(SETTINGS, payload=struct.pack(">HI", 1, 2**32 - 1)) + ask(),
    "headers of 1 byte at most": frame(SETTINGS, payload=struct.pack(">HI", 6, 1)) + ask(),
    # Frames.
    "an unknown frame": frame(0x42, 0xFF, 3, b"x" * 99) + ask(),
    "an unknown frame among headers": ask(flags=END_STREAM) + frame(0x42, 0, 1),
    "a frame of 16 MB": struct.pack(">I", 2**24 - 1)[1:] + struct.pack(">BBI", DATA, 0, 1),
    "a push promise": frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + block(*GET)),
    "a ping of 7 bytes": frame(PING, payload=bytes(7)),
    "a ping of a stream": frame(PING, 0, 1, bytes(8)),
    "a goodbye of 3 bytes": frame(GOAWAY, payload=bytes(3)),
    "a goodbye, and a request": frame(GOAWAY, payload=bytes(8)) + ask(),
    "the reserved bit": frame(HEADERS, 5, 2**31 + 1, block(*GET)),
    # Streams.
    "headers of no stream": ask(stream=0),
    "an even stream": ask(stream=2),
    "a lower stream": ask(stream=5) + ask(stream=3),
    "the last stream": ask(stream=2**31 - 1),
    "a stream twice": ask() + ask(),
    "data of no stream": frame(DATA, END_STREAM, 0, b"x"),
    "data of an idle stream": frame(DATA, END_STREAM, 7, b"x"),
    "data after the end": body(b"x") + frame(DATA, END_STREAM, 1, b"y"),
    "headers that do not end, and data": ask(flags=0) + frame(DATA, END_STREAM, 1, b"x"),
    "headers that do not end, of two streams": ask(flags=0) + ask(stream=3),
    "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, block(*GET)),
    "a continuation of another stream": ask(flags=0) + frame(CONTINUATION, END_HEADERS, 3),
    "a reset of an idle stream": frame(RST_STREAM, 0, 9, bytes(4)),
    "a reset of no stream": frame(RST_STREAM, 0, 0, bytes(4)),
    "a reset of 3 bytes": ask() + frame(RST_STREAM, 0, 1, bytes(3)),
    "a window update of nothing": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "a window update of 3 bytes": frame(WINDOW_UPDATE, 0, 0, bytes(3)),
    "a window beyond 2^31": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1)) * 2,
    "a stream's window beyond 2^31": ask(flags=END_HEADERS)
    + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2**31 - 1)) * 2,
    "a stream that depends on itself": frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 9)) + ask(),
    "a priority of 4 bytes": frame(PRIORITY, 0, 1, bytes(4)),
    "a priority without room": frame(HEADERS, 5 | WITH_PRIORITY, 1, bytes(3)),
    "more padding than data": body(b"", end=0) + frame(DATA, PADDED, 1, b"\xffx"),
    "more padding than headers": frame(HEADERS, 5 | PADDED, 1, b"\xff" + block(*GET)[:20]),
    # Pseudo headers.
    "no method": ask(changed(":method", None)),
    "no scheme": ask(changed(":scheme", None)),
    "no path": ask(changed(":path", None)),
    "no authority": ask(changed(":authority", None)),
    "no headers": ask([]),
    "two methods": ask([*GET, (":method", "POST")]),
    "two paths": ask([*GET, (":path", "/path/other")]),
    "two authorities": ask([*GET, (":authority", "other")]),
    "an unknown pseudo header": ask([*GET, (":x", "1")]),
    "a pseudo header of responses": ask([*GET, (":status", "200")]),
    "a pseudo header after the others": ask([("x", "1"), *GET]),
    "an empty path": ask(changed(":path", "")),
    "a path of a star": ask(changed(":path", "*")),
    "a path without a slash": ask(changed(":path", "path/seen")),
    "a path that is a URL": ask(changed(":path", "https://localhost/path/seen")),
    "a path with a space": ask(changed(":path", "/path/seen HTTP/1.1")),
    "a path with a line end": ask(changed(":path", "/path/seen\r\nX: y")),
    "a path with NUL": ask(changed(":path", "/path/seen\0")),
    "a path that leads up": ask(changed(":path", "/path/../../etc/passwd")),
    "a path of 30 kB": ask(changed(":path", "/path/seen/" + "x" * 14_000)),
    "a method with a space": ask(changed(":method", "GET /")),
    "a method in small letters": ask(changed(":method", "get")),
    "an empty method": ask(changed(":method", "")),
    "CONNECT": ask(changed(":method", "CONNECT")),
    "CONNECT for a WebSocket": ask([*changed(":method", "CONNECT"), (":protocol", "websocket")]),
    "TRACE": ask(changed(":method", "TRACE")),
    "another scheme": ask(changed(":scheme", "javascript")),
    "a scheme with a line end": ask(changed(":scheme", "https\r\nX: y")),
    "an authority with a user": ask(changed(":authority", "localhost:@other")),
    "an authority with a line end": ask(changed(":authority", "localhost\r\nX: y")),
    "an empty authority": ask(changed(":authority", "")),
    "another host": ask([*GET, ("host", "other")]),
    "two hosts": ask([*changed(":authority", None), ("host", "a"), ("host", "b")]),
    # Headers.
    "capitals": ask([*GET, ("X-Capital", "1")]),
    "an empty name": ask([*GET, ("", "1")]),
    "a name with a space": ask([*GET, ("x y", "1")]),
    "a name with a colon": ask([*GET, ("x:y", "1")]),
    "a name with a line end": ask([*GET, ("x\r\ny", "1")]),
    "a value with a line end": ask([*GET, ("x", "1\r\ny: 2")]),
    "a value with NUL": ask([*GET, ("x", "1\0")]),
    "a value with spaces around": ask([*GET, ("x", " 1 ")]),
    "connection": ask([*GET, ("connection", "keep-alive")]),
    "transfer-encoding": body(b"5\r\nhello\r\n0\r\n\r\n", ("transfer-encoding", "chunked")),
    "upgrade": ask([*GET, ("upgrade", "h2c")]),
    "te": ask([*GET, ("te", "gzip")]),
    "a length that is too large": body(b"x", ("content-length", "10")),
    "a length that is too small": body(b"xxxxxxxxxx", ("content-length", "1")),
    "two lengths": body(b"x", ("content-length", "1"), ("content-length", "2")),
    "a negative length": body(b"x", ("content-length", "-1")),
    "a length without a body": ask([*POST, ("content-length", "10")]),
    "cookies in pieces": ask([*GET, *[("cookie", f"c{n}=v") for n in range(50)]]),
    "500 headers": ask([*GET, *[(f"x-{n}", "1") for n in range(500)]]),
    "a header of 14 kB": ask([*GET, ("x", "v" * 14_000)]),
    "trailers with a path": body(b"x", end=0) + ask(stream=1),
    "trailers that do not end": body(b"x", end=0)
    + frame(HEADERS, END_HEADERS, 1, block(("x", "y"))),
    # Compression.
    "index 0": frame(HEADERS, 5, 1, b"\x80"),
    "an index that is not there": frame(HEADERS, 5, 1, b"\xff\xff\x7f"),
    "an endless number": frame(HEADERS, 5, 1, b"\xff" + b"\xff" * 40),
    "half of a name": frame(HEADERS, 5, 1, b"\x00\x7f\x7f"),
    "bad Huffman code": frame(HEADERS, 5, 1, b"\x00\x84\xff\xff\xff\xff\x01x"),
    "a table above the limit": frame(HEADERS, 5, 1, b"\x3f\xff\xff\xff\x07" + block(*GET)),
    "a compression bomb": frame(HEADERS, 5, 1, block(*GET) + b"\x40\x01x" + _text(b"v" * 3000))
    + frame(HEADERS, 5, 3, block(*GET) + b"\xbe" * 9000),
}

# Much of what is small. (None of them is an error, taken by itself.)
FLOODS: dict[str, bytes] = {
    "rapid reset": b"".join(
        ask(stream=n) + frame(RST_STREAM, 0, n, struct.pack(">I", 8)) for n in range(1, 2001, 2)
    ),
    "resets that the server has to send": b"".join(
        ask(stream=n) + frame(WINDOW_UPDATE, 0, n, bytes(4)) for n in range(1, 2001, 2)
    ),
    "pings": frame(PING, payload=bytes(8)) * 10_000,
    "settings": frame(SETTINGS) * 10_000,
    "empty data": body(b"", end=0) + frame(DATA, 0, 1) * 10_000,
    "window updates": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 10_000,
    "priorities": b"".join(frame(PRIORITY, 0, n, bytes(5)) for n in range(1, 20_001, 2)),
    "continuations": ask(flags=END_STREAM) + frame(CONTINUATION, 0, 1, block(("x", "y"))) * 10_000,
    "empty continuations": ask(flags=END_STREAM) + frame(CONTINUATION, 0, 1) * 10_000,
    "streams above the limit": b"".join(ask(POST, n, END_HEADERS) for n in range(1, 2001, 2)),
    "responses that may not be sent": frame(SETTINGS, payload=struct.pack(">HI", 4, 0))
    + b"".join(ask(changed(":path", "/path/response?body=60000"), n) for n in range(1, 201, 2)),
}


@dataclass
class Heard:
    """What a server said on one connection."""

    statuses: dict[int, int] = field(default_factory=dict)
    resets: list[int] = field(default_factory=list)
    goodbye: bool = False
    alive: bool = False  # it has acknowledged the last ping


class Connection:
    """A connection to a server of this machine, with HTTP/2 agreed on.

    Args:
        port: where it listens, with TLS.
        source: the address to come from.
    """

    _LAST_PING = b"the last"

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        try:
            self._socket = context.wrap_socket(raw, server_hostname="localhost")
        except BaseException:
            raw.close()
            raise
        self._decoder = hpack.Decoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are. The server may have closed the connection."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"".join(parts))

    def hear(self, seconds: float, *, expect: int = 0) -> Heard:
        """Read until the last ping is acknowledged, or the end.

        Args:
            seconds: of silence to wait for.
            expect: a stream whose status has to be there, too.
        """
        heard, buffer = Heard(), b""
        self._socket.settimeout(seconds)
        with contextlib.suppress(OSError):
            while not (heard.alive and (not expect or heard.goodbye or expect in heard.statuses)):
                while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[:3]):
                    if not (data := self._socket.recv(65_536)):
                        return heard
                    buffer += data
                end = 9 + int.from_bytes(buffer[:3])
                self._take(heard, buffer[3], buffer[4], buffer[5:9], buffer[9:end])
                buffer = buffer[end:]
        return heard

    def _take(self, heard: Heard, kind: int, flags: int, stream: bytes, payload: bytes) -> None:
        number = int.from_bytes(stream)
        if kind == HEADERS:
            status = dict(self._decoder.decode(payload)).get(":status")
            heard.statuses.setdefault(number, int(status))
        elif kind == RST_STREAM:
            heard.resets.append(number)
        elif kind == GOAWAY:
            heard.goodbye = True
        elif kind == PING and flags & ACK and payload == self._LAST_PING:
            heard.alive = True

    def play(self, *parts: bytes, seconds: float = 60, expect: int = 0) -> Heard:
        """Begin, send these parts and a ping, and hear what comes of it."""
        self.send(PREFACE, frame(SETTINGS), *parts, frame(PING, payload=self._LAST_PING))
        return self.hear(seconds, expect=expect)
