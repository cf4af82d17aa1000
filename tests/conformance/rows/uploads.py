"""Request bodies."""

from functools import partial

from tests.conformance.row import Ask, Row, status, status_and_body

row = partial(Row, "request bodies")
MULTIPART = (("Content-Type", "multipart/form-data; boundary=xyz"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
JSON = (("Content-Type", "application/json"),)
CHUNKED = (("Transfer-Encoding", "chunked"),)


def part(head: str, body: bytes) -> bytes:
    """A part of a form with files."""
    return f"--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"


def chunked(*chunks: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def post(
    name: str, view: str, body: bytes = b"", headers=(), look=status_and_body, method="POST", **more
) -> Row:
    """A row with one request."""
    return row(name, (Ask(f"/x/uploads/{view}", method, headers, body),), look, **more)


BYTES = bytes(range(256))
END = b"--xyz--\r\n"
ROWS = (
    post("no body", "data"),
    post("a body", "data", b"text"),
    post("every byte", "data", BYTES),
    post("1 MB", "data", BYTES * 4096),
    post("5 MB", "data", BYTES * 20_480),
    post("65,536 bytes", "data", b"x" * 65_536),
    post("65,537 bytes", "data", b"x" * 65_537),
    *(post(f"{m} with a body", "data", b"text", method=m) for m in ("PUT", "PATCH", "DELETE")),
    post("GET with a body", "data", b"text", method="GET"),
    post("OPTIONS with a body", "data", b"text", method="OPTIONS"),
    post("a chunked body", "data", chunked(b"one", b"two"), CHUNKED),
    post("a chunked body of 1 MB", "data", chunked(*[BYTES * 16] * 256), CHUNKED),
    post("a chunked body of nothing", "data", chunked(), CHUNKED),
    post("a chunked form", "form", chunked(b"a=1&", b"b=2"), FORM + CHUNKED),
    post("a chunked JSON", "json", chunked(b'{"a":', b" 1}"), JSON + CHUNKED),
    post("a form", "form", b"a=1&a=2&b=%C3%BC+x&c=", FORM),
    post(
        "a form with a charset",
        "form",
        b"a=%FC",
        (("Content-Type", FORM[0][1] + "; charset=latin-1"),),
    ),
    post("a form of 2,000 fields", "form", b"&".join(b"a%d=1" % n for n in range(2000)), FORM),
    post(
        "a form with a file",
        "form",
        part('name="f"; filename="a.txt"', b"x" * 100) + END,
        MULTIPART,
    ),
    post(
        "a form with a file of 1 MB and a field",
        "form",
        part('name="f"; filename="ü.bin"', BYTES * 4096) + part('name="a"', b"1") + END,
        MULTIPART,
    ),
    post(
        "a form with two files of one name",
        "form",
        part('name="f"; filename="a"', b"1") + part('name="f"; filename="b"', b"2") + END,
        MULTIPART,
    ),
    post("a form with an empty file", "form", part('name="f"; filename=""', b"") + END, MULTIPART),
    post("a form that ends too early", "form", part('name="f"; filename="a"', b"1"), MULTIPART),
    post("a form without a boundary", "form", b"x", (("Content-Type", "multipart/form-data"),)),
    post("JSON", "json", '{"a": [1, "ü", null]}'.encode(), JSON),
    post("JSON that is none", "json", b"{", JSON),
    post("JSON without its type", "json", b"{}", (("Content-Type", "text/plain"),)),
    post("a body that is not read", "unread", b"x" * 100_000),
    post("a chunked body that is not read", "unread", chunked(b"x" * 100_000), CHUNKED),
    post("a body for an unknown page", "nowhere", b"x" * 100_000, look=status),
    post("the beginning of a body", "part", b"0123456789" * 1000),
    post("a body in parts", "parts", b"0123456789" * 1000),
    post("lines of a body", "lines", b"one\ntwo\r\nthree"),
    post("readline of wsgi.input", "readline", b"one\ntwo\nthree"),
    post("read of wsgi.input", "raw", BYTES * 1000),
    post("the same body twice", "twice", b"a=1", FORM),
    post("a form, then its bytes", "form-then-data", b"a=1", FORM),
    post("more than the view allows", "limited", b"x" * 200),
    post("as much as the view allows", "limited", b"x" * 100),
    post(
        "chunked, more than the view allows",
        "limited",
        chunked(b"x" * 200),
        CHUNKED,
        differs="chunked-uploads",
    ),
    post("length and type", "length", b"abc", (("Content-Type", "text/plain; a=b"),)),
    post("a body that is sent back", "stream-back?list=1", b"abc" * 1000),
    post("gzip in a body", "data", b"\x1f\x8b" + BYTES, (("Content-Encoding", "gzip"),)),
    post("Expect: 100-continue", "data", b"text", (("Expect", "100-continue"),)),
    post(
        "a Content-Length that is none",
        "data",
        b"text",
        (("Content-Length", "four"),),
        status,
        differs="malformed-requests",
    ),
)
