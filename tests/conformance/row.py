"""What a row of the conformance table is: requests, and what is compared of the responses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# What servers add by themselves, or write in their own way.
IGNORED_HEADERS = {"connection", "date", "keep-alive", "server", "transfer-encoding"} | {
    # nginx's own: the request id and SECURITY_HEADERS.
    "x-request-id",
    "x-cache",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
}
_DATE = re.compile(r"\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT")
BROKEN = "connection broken off"


@dataclass(frozen=True)
class Ask:
    """A request.

    Args:
        target: what stands in the request line, byte for byte; `{token}` names row and server.
        method: the method.
        headers: name and value, in order; they replace `Host` and `Content-Length`.
        body: sent after the headers, with its length unless they say `Transfer-Encoding`.
        version: of HTTP.
    """

    target: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    version: str = "1.1"


@dataclass(frozen=True)
class Reply:
    """A response, read to its end or to where it breaks off (status 0: before its first line)."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    whole: bool = True

    def header(self, name: str) -> str | None:
        """The values of all headers of this name."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


# --- What is compared of a response ---


def everything(reply: Reply) -> Any:
    """Status, headers and body."""
    if not reply.whole:
        return BROKEN
    headers = [(name.lower(), _DATE.sub("DATE", value)) for name, value in reply.headers]
    # Flask makes it of a set.
    headers = [(n, ", ".join(sorted(v.split(", "))) if n == "allow" else v) for n, v in headers]
    # nginx's, of what it would compress for another client.
    headers = [pair for pair in headers if pair != ("vary", "Accept-Encoding")]
    return (
        reply.status,
        tuple(sorted(pair for pair in headers if pair[0] not in IGNORED_HEADERS)),
        reply.body,
    )


def status(reply: Reply) -> Any:
    """The status alone."""
    return reply.status if reply.whole else BROKEN


def status_and_body(reply: Reply) -> Any:
    """Status and body."""
    return (reply.status, reply.body) if reply.whole else BROKEN


def encoding(reply: Reply) -> Any:
    """Status, and how the body is compressed."""
    return f"{reply.status}, {reply.header('Content-Encoding') or 'not compressed'}"


def with_headers(*names: str) -> Callable[[Reply], Any]:
    """Status, body and these headers."""

    def look(reply: Reply) -> Any:
        found = tuple((name, reply.header(name)) for name in names)
        return (reply.status, found, reply.body) if reply.whole else BROKEN

    return look


def failure(reply: Reply) -> Any:
    """Whether the client can tell that the response is not what it asked for."""
    return "an error" if not reply.whole or reply.status >= 500 else everything(reply)


@dataclass(frozen=True, eq=False)
class Row:
    """A row.

    Args:
        family: its family.
        name: what is asked for, in a few words.
        asks: the requests, one after the other; a string is a GET.
        look: what is compared of each response.
        right: what has to be seen, where Werkzeug's server varies or prints nothing to compare.
        logs: regular expressions that the log has to match.
        quiet: regular expressions that the log must not match.
        differs: the heading in docs/differences.md of a difference on purpose, as its anchor.
        kinds: where it is asked.
        site: the apps that it needs: "requests", or "imports" for what is done at import.
        at_stop: whether it is asked last, and what is left of it then judged from the log.
        mount: the target of an app that does not load, instead of requests.
    """

    family: str
    name: str
    asks: tuple[Ask | str, ...] = ()
    look: Callable[[Reply], Any] = everything
    right: Any = None
    logs: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    differs: str = ""
    kinds: tuple[str, ...] = ("host", "compose")
    site: str = "requests"
    at_stop: bool = False
    mount: str = ""

    @property
    def requests(self) -> tuple[Ask, ...]:
        """The requests."""
        return tuple(Ask(ask) if isinstance(ask, str) else ask for ask in self.asks)

    @property
    def token(self) -> str:
        """A word that stands for it in logs and in the names of what it makes."""
        return "".join(c if c.isalnum() else "-" for c in f"{self.family}-{self.name}").lower()


@dataclass
class Outcome:
    """What a server did with a row."""

    seen: Any = None
    left: tuple[str, ...] = ()
    logged: tuple[bool, ...] = ()
    noise: tuple[str, ...] = ()
    error: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
