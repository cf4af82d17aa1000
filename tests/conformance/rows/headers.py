"""Headers and URLs."""

from functools import partial

from tests.conformance.row import Ask, Reply, Row, everything, status

row = partial(Row, "headers and URLs")
SENT = {
    "two-cookies": "two cookies are set",
    "duplicates": "a header three times",
    "latin-1": "latin-1 in a header",
    "empty": "an empty header",
    "long": "a header of 30 kB",
    "many": "60 headers",
    "content-type": "a content type with a parameter",
    "no-type": "no content type",
    "caching": "Cache-Control, Expires, Vary twice, a weak ETag",
    "csp": "the app's own security headers",
    "cors": "CORS",
    "encoding": "Content-Encoding of the app's own",
    "language": "lists in Link and Content-Language",
    "authenticate": "WWW-Authenticate twice",
    "underscore": "a header with an underscore",
    "hop-by-hop": "hop-by-hop headers of the app",
    "upgrade": "Upgrade",
    "accel": "X-Accel-Redirect and X-Accel-Expires",
    "sendfile": "X-Sendfile",
    "location-relative": "a relative Location",
    "location-absolute": "an absolute Location with an umlaut",
    "retry": "Retry-After",
    "trailer": "Trailer",
    "server-timing": "Server-Timing",
    "x-request-id": "X-Correlation-ID",
}
# Name of a row: what the client sends, and the names that the app looks for.
ARRIVES: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "a header arrives": ((("X-A", "1"),), "X-A"),
    "latin-1 arrives": ((("X-A", "caf\xe9"),), "X-A"),
    "UTF-8 arrives": ((("X-A", "caf\xc3\xa9"),), "X-A"),
    "an empty header arrives": ((("X-A", ""),), "X-A"),
    "a header twice": ((("X-A", "1"), ("X-A", "2")), "X-A"),
    "two Cookie headers": ((("Cookie", "a=1"), ("Cookie", "b=2")), "Cookie"),
    "6 kB in a header": ((("X-A", "a" * 6000),), "X-A"),
    "white space around a value": ((("X-A", "  a b\t"),), "X-A"),
    "quotes, commas, semicolons": ((("X-A", 'a, "b;c"; d=\\"'),), "X-A"),
    "a name with an underscore": ((("api_key", "1"),), "Api-Key"),
    "names in capitals": ((("X-LOUD", "1"),), "x-loud"),
    "digits in a name": ((("X-1-2", "1"),), "X-1-2"),
    "a name with a dot": ((("X.A", "1"),), "X.A"),
    "If-Match": ((("If-Match", '"a"'),), "If-Match"),
    "If-None-Match and If-Modified-Since": (
        (("If-None-Match", '"a"'), ("If-Modified-Since", "Wed, 15 Nov 2023 00:00:00 GMT")),
        "If-None-Match&h=If-Modified-Since",
    ),
    "Range and If-Range": (
        (("Range", "bytes=0-1"), ("If-Range", '"a"')),
        "Range&h=If-Range",
    ),
    "Accept-Encoding": ((("Accept-Encoding", "gzip, br"),), "Accept-Encoding"),
    "Origin, Referer, User-Agent": (
        (("Origin", "http://a"), ("Referer", "http://a/b?c"), ("User-Agent", "x/1 (y; z)")),
        "Origin&h=Referer&h=User-Agent",
    ),
    "X-Requested-With": ((("X-Requested-With", "XMLHttpRequest"),), "X-Requested-With"),
    "X-CSRFToken": ((("X-CSRFToken", "a.b-c_d"),), "X-CSRFToken"),
    "X-HTTP-Method-Override": ((("X-HTTP-Method-Override", "PUT"),), "X-HTTP-Method-Override"),
    "traceparent": (
        (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
        "traceparent",
    ),
    "Content-Type without a body": ((("Content-Type", "text/x; a=b"),), "Content-Type"),
    "TE and Priority": ((("TE", "trailers"), ("Priority", "u=1")), "TE&h=Priority"),
    "Proxy": ((("Proxy", "http://evil"),), "Proxy"),
    "Content-Length: 0": ((("Content-Length", "0"),), "Content-Length"),
}
URLS = {
    "percent-encoded UTF-8": "/x/headers/url/%C3%BC",
    "a space": "/x/headers/url/a%20b",
    "a plus": "/x/headers/url/a+b?a=b+c",
    "an encoded slash": "/x/headers/url/a%2Fb",
    "an encoded percent": "/x/headers/url/a%2525b",
    "an encoded question mark": "/x/headers/url/a%3Fb",
    "a semicolon": "/x/headers/url/a;b=c",
    "two slashes": "/x/headers/url/https://example.com//a",
    "two slashes at the beginning": "/x//headers/url",
    "a dot": "/x/headers/url/./a",
    "two dots": "/x/headers/url/a/../b",
    "encoded dots": "/x/headers/url/a/%2e%2e/b",
    "reserved characters": "/x/headers/url/:@!$&'()*,=~",
    "a slash at the end": "/x/headers/url/a/",
    "an empty query": "/x/headers/url?",
    "a query with everything": "/x/headers/url?a=1&a=2&b&c=%C3%BC&d=x%26y;z&=e",
    "a question mark in a query": "/x/headers/url?a=b?c=d",
    "a query that is not UTF-8": "/x/headers/environ/QUERY_STRING?a=%FF",
    "a path of 5 kB": f"/x/headers/url/{'a' * 5000}",
    "a query of 5 kB": f"/x/headers/url?a={'a' * 5000}",
    "a backslash": "/x/headers/url/a%5Cb",
    "a mount that is no mount": "/xylophone",
    "the mount with other capitals": "/X/",
    "an unknown page": "/x/nowhere",
    "the raw URI": "/x/headers/raw?a=%C3%BC",
}
METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY")
# Which of the differences is meant, by the row's name.
DIFFERS = {
    "X-Accel-Redirect and X-Accel-Expires": "x-accel-headers",
    "two Cookie headers": "repeated-headers",
    "a name with a dot": "names-of-headers",
    "Proxy": "forwarded-headers",
    "a dot": "dots-in-paths",
    "two dots": "dots-in-paths",
    "encoded dots": "dots-in-paths",
}


def _sent(name: str, text: str) -> Row:
    return row(text, (f"/x/headers/sent/{name}",), differs=DIFFERS.get(text, ""))


def without_spaces(reply: Reply):
    """A list is the same with and without a space after its commas."""
    return reply.status, reply.body.replace(b", ", b",")


ROWS = (
    *(_sent(name, text) for name, text in SENT.items()),
    *(
        row(
            text,
            (Ask(f"/x/headers/seen?h={names}", headers=sent),),
            without_spaces,
            differs=DIFFERS.get(text, ""),
        )
        for text, (sent, names) in ARRIVES.items()
    ),
    *(
        row(
            f"URL: {text}",
            (target,),
            everything if target.startswith("/x/headers") else status,
            differs=DIFFERS.get(text, ""),
        )
        for text, target in URLS.items()
    ),
    *(row(f"method {m}", (Ask("/x/headers/url", m),)) for m in METHODS),
    row("a method that the route does not have", (Ask("/x/headers/accept", "DELETE"),)),
    row("OPTIONS by Flask itself", (Ask("/x/headers/accept", "OPTIONS"),)),
    row("TRACE", (Ask("/x/headers/url", "TRACE"),), status, differs=DIFFERS.get("TRACE", "")),
    row(
        "Authorization: Basic",
        (Ask("/x/headers/auth", headers=(("Authorization", "Basic dcO8OnA6dw=="),)),),
    ),
    row(
        "Authorization: Bearer",
        (Ask("/x/headers/auth", headers=(("Authorization", "Bearer a.b.c"),)),),
    ),
    row(
        "Accept and Accept-Language",
        (
            Ask(
                "/x/headers/accept",
                headers=(
                    ("Accept", "text/html;q=0.5, application/json"),
                    ("Accept-Language", "de, en;q=0.1"),
                ),
            ),
        ),
    ),
    row("more bytes than announced", ("/x/headers/length",)),
    row("Host with another port", (Ask("/x/headers/url", headers=(("Host", "example.com:81"),)),)),
    row("Host without a port", (Ask("/x/headers/url", headers=(("Host", "example.com"),)),)),
    row("Host in capitals", (Ask("/x/headers/url", headers=(("Host", "EXAMPLE.com"),)),)),
    row("Host with an IPv6 address", (Ask("/x/headers/url", headers=(("Host", "[::1]:81"),)),)),
)
