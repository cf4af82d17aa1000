"""What is asked for: the endpoints of the measured app."""

from dataclasses import dataclass

# The file that `stacks.place_app` puts into the app's static folder: the page, as it was rendered.
STATIC_PAGE = "orders.html"


@dataclass(frozen=True)
class Endpoint:
    """A request that is measured.

    Args:
        name: what tables call it.
        path: below the mount.
        expected: bytes that the body of the response contains.
        body: sent with POST; empty for a GET.
        content_type: of the body.
        bytes: of the response, where curves are over that.
        encoding: that the client accepts.
    """

    name: str
    path: str
    expected: bytes
    body: bytes = b""
    content_type: str = ""
    bytes: int = 0
    encoding: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Of the request, besides those of the client itself."""
        found = {"Content-Type": self.content_type, "Accept-Encoding": self.encoding}
        return {name: value for name, value in found.items() if value}

    @property
    def method(self) -> str:
        """POST if there is something to send."""
        return "POST" if self.body else "GET"


TINY = Endpoint("tiny text", "/tiny", b"Hello")
JSON = Endpoint("JSON 2 kB", "/json", b'"orders"')
TEMPLATE = Endpoint("Jinja page 8 kB", "/template", b"</html>")
FORM = Endpoint(
    "form POST",
    "/form",
    b"Ada wants 3 in red, blue",
    b"name=Ada&email=ada%40example.org&amount=3&colour=red&colour=blue&note=at+the+back+door",
    "application/x-www-form-urlencoded",
)
WAIT = Endpoint("wait 20 ms", "/wait", b"Waited")
STATIC = Endpoint("static file 8 kB", f"/static/{STATIC_PAGE}", b"</html>")
UPLOAD = Endpoint(
    "upload 1 MB", "/upload", b"1000000 bytes", b"x" * 1_000_000, "application/octet-stream"
)
CACHEABLE = Endpoint("cacheable page 8 kB", "/cacheable", b"</html>")

SLOW = Endpoint("wait 200 ms", "/slow?seconds=0.2", b"Waited")
COMPUTE = Endpoint("compute", "/compute", b"333328333350000")
COMPRESSED = Endpoint("Jinja page 8 kB, gzip", "/template", b"", encoding="gzip")
STREAM = Endpoint("stream of 1 s", "/stream", b"data: 9")
SIZES = tuple(
    Endpoint(f"{size:,} bytes", f"/bytes/{size}", b"x", bytes=size)
    for size in (100, 1_000, 10_000, 100_000, 1_000_000)
)

# Most of their cost is Python's.
DYNAMIC = (TINY, JSON, TEMPLATE, FORM)
TABLE = (*DYNAMIC, STATIC, CACHEABLE, WAIT, UPLOAD)
ENDPOINTS = (*TABLE, SLOW, COMPUTE, COMPRESSED, STREAM, *SIZES)
