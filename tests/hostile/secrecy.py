"""Secrets by the place that they stand in, and the lines of a log that have one.

`HOSTILE_DEBUGGER=1 pytest tests/hostile` runs the suite with the debugger on. Each site gets
requests with these secrets when it starts, and its logs are searched for them when it ends.
"""

import contextlib
import os
import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, urlencode

from tests.hostile.wire import ClosedError, Wire, request
from tests.servers import Site

WITH_DEBUGGER = bool(os.environ.get("HOSTILE_DEBUGGER"))
PIN = "pin2-3456-7abc-defg-hijk-lmno"
# Each has characters that are encoded in some of these places.
SECRETS = {
    "SECRET_KEY": "key/of+all=sessions&of:the site",
    "query": "query/token+9=&:f00",
    "body": "body/token+9=&:f01",
    "cookie": "cookie/token+9=:f02",
    "password": "password/9+=&:f03",
    "wrong password": "wrong-password/9+=&?:f04",
    "name": "name/token+9=&f08",
    "bearer": "bearer/token+9=:f05",
    "api key": "api-key/9+=&:f06",
    "referrer": "referrer/token+9=&:f07",
}
DEBUGGER_SETTINGS = {
    "UWSGI_DEBUG": "1",
    # The clients of the suite: this machine, containers, and the addresses of RFC 5737.
    "DEBUG_ALLOW": "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"
    " 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24",
    "WERKZEUG_DEBUG_PIN": PIN,
    "SECRET_KEY": SECRETS["SECRET_KEY"],
}
QUERY = urlencode({"token": SECRETS["query"], "pin": PIN, "s": SECRETS["query"]})
_BANNER = "*** Debugger PIN: "
# The lines that have a query: of the access log, of nginx's error log, and of uWSGI and the app.
_QUERIES = re.compile(
    r'^\{.*?"uri":"[^"]*\?'
    r"|^\d{4}/\d\d/\d\d .*\?(?!\.\.\.)"
    r"|^(?!\{|\d{4}/).*\b[A-Z]{3,} /\S*\?(?!\.\.\.)"
)


def authorization(password: str, user: str = "ada") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


HEADERS = {
    "Host": "127.0.0.1",
    "Authorization": authorization(SECRETS["password"]),
    "Cookie": f"session={SECRETS['cookie']}",
    "X-Api-Key": SECRETS["api key"],
    "X-Access-Token": f"Bearer {SECRETS['bearer']}",
    "Referer": f"http://127.0.0.1/path/login?token={quote(SECRETS['referrer'])}",
    "Connection": "close",
}


def tell(site: Site) -> None:
    """Send a site the secrets: to the app, to its debugger, and in a request that is rejected."""
    head = [f"{name}: {value}".encode() for name, value in HEADERS.items() if name != "Host"]
    for target, more in (
        (f"/path/seen?{QUERY}", []),
        (f"/path/?__debugger__=yes&cmd=pinauth&{QUERY}", []),
        (f"/path/seen?{QUERY}", [b"X-Large: " + b"x" * 9_000]),
        (f"/path/seen?{QUERY}", [b"Content-Length: 99999999999"]),
    ):
        with contextlib.suppress(ClosedError, OSError), Wire(site.port) as wire:
            wire.send(request(target, *head, *more)).reply()


def leaks(log: str, *others: str) -> list[str]:
    """The lines that have a query or one of the secrets, but for the debugger's banner."""
    lines = log.splitlines()
    pins = {line.removeprefix(_BANNER) for line in lines if line.startswith(_BANNER)}
    secrets = {*SECRETS.values(), PIN, *pins, *others}
    forms = {form for secret in secrets for form in spelled(secret)}
    return [
        line
        for line in lines
        if not line.startswith(_BANNER)
        and (_QUERIES.search(line) or any(form in line for form in forms))
    ]


def spelled(secret: str) -> Iterable[str]:
    """A secret as requests and logs may spell it."""
    bare = authorization(secret).partition(" ")[2]
    without = secret.replace("-", "")
    return {secret, without, quote(secret), quote(secret, safe=""), quote_plus(secret), bare}
