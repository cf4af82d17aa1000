"""Sessions, cookies, and what the app believes of a request."""

from functools import partial

from tests.conformance.row import Ask, Reply, Row, status_and_body, with_headers

row = partial(Row, "sessions and proxies")


def cookie(reply: Reply):
    """The session's cookie without its time."""
    value = reply.header("Set-Cookie") or ""
    name, _, rest = value.partition("=")
    payload, _, attributes = rest.partition(";")
    return reply.status, name, payload.split(".")[0], attributes, reply.header("Vary"), reply.body


COOKIES = {
    "plain": "a cookie",
    "all": "a cookie with all attributes",
    "spaces": "a cookie with spaces, quotes and an umlaut",
    "long": "a cookie of 3.5 kB",
    "partitioned": "a partitioned cookie",
}
# What a client says of itself, and the server has to decide.
CLAIMS = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-SSL": "on",
    "X-Script-Name": "/evil",
    "X-Real-IP": "6.6.6.6",
    "X-Scheme": "https",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Remote-User": "admin",
    "Remote-User": "admin",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
    "Front-End-Https": "on",
}
PROXIED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix")
SIGNED = "eyJuYW1lIjoiQWRhIn0.aVvOoA.signature-that-is-wrong"
ROWS = (
    row("a session is set", ("/x/sessions/set",), cookie),
    row("a session that is not there", ("/x/sessions/get",), with_headers("Vary", "Set-Cookie")),
    row(
        "a session with a wrong signature",
        (Ask("/x/sessions/get", headers=(("Cookie", f"session={SIGNED}"),)),),
        status_and_body,
    ),
    row("flash", ("/x/sessions/flash",), status_and_body),
    row(
        "POST, then a redirect",
        (
            Ask(
                "/x/sessions/login",
                "POST",
                (("Content-Type", "application/x-www-form-urlencoded"),),
                b"user=Ada",
            ),
        ),
        lambda reply: (reply.status, reply.header("Location"), reply.body),
    ),
    *(
        row(f"Set-Cookie: {text}", (f"/x/sessions/cookie/{name}",))
        for name, text in COOKIES.items()
    ),
    row("a cookie is deleted", ("/x/sessions/delete",)),
    row(
        "several cookies arrive",
        (Ask("/x/sessions/cookies", headers=(("Cookie", 'a=1; b="2 3"; a=4; c=%C3%BC; d'),)),),
    ),
    row("what the app knows of a request", ("/x/sessions/seen",)),
    row("HTTP/1.0", (Ask("/x/sessions/seen", version="1.0"),)),
    *(
        row(f"{name} of a client", (Ask("/x/sessions/seen", headers=((name, value),)),))
        for name, value in CLAIMS.items()
    ),
    row("ProxyFix without a proxy", ("/proxied/",)),
    *(
        row(
            f"ProxyFix, {name} of a client",
            (Ask("/proxied/", headers=((name, CLAIMS[name]),)),),
            differs="forwarded-headers",
        )
        for name in PROXIED
    ),
)
