"""Valid settings that are unsafe or slow."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding
from deploy.settings import debugging, procfile
from deploy.settings.knobs import Knobs, usable_cpus
from deploy.settings.rules import problem_of_key

# Not registrable: RFC 6761 and 6762, ICANN's .internal, and common private names.
_PRIVATE_ENDINGS = {"corp", "example", "home", "internal", "lan", "local", "localhost", "test"}
_MAKE_KEY = "set it to what `openssl rand -hex 32` prints"
# Control groups 2 and 1; see cgroups(7).
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def look(knobs: Knobs) -> Iterator[Finding]:
    """Check single settings and combinations."""
    yield from _secret_key(knobs)
    yield from _debugging(knobs)
    yield from _clients(knobs)
    yield from _workers(knobs)
    for line in procfile.not_run(knobs.procfile, knobs.environment["PROCESSES"]):
        yield Finding("W011", line)


def _secret_key(knobs: Knobs) -> Iterator[Finding]:
    given = knobs.given["SECRET_KEY"] or Path(knobs.given["SECRET_KEY_FILE"]).is_file()
    if not given:
        yield Finding("W002", f"SECRET_KEY is '', so each restart logs all users out; {_MAKE_KEY}.")
    elif problem := problem_of_key(knobs.secret_key):  # an error in production
        yield Finding(
            "W003",
            f"SECRET_KEY {problem}, so an attacker could guess it and sign in as any user;"
            f" {_MAKE_KEY}.",
        )


def _debugging(knobs: Knobs) -> Iterator[Finding]:
    # A proxy on this machine forwards other clients to 127.0.0.1.
    open_to_others = not _loopback(knobs) or knobs.given["TRUSTED_PROXIES"].split()
    if open_to_others or knobs.environment_name != "development":
        place = (
            f"with ENVIRONMENT {knobs.environment_name!r} and HTTP_ADDRESS {knobs.http_address!r}"
        )
        if knobs.debugger:
            yield Finding(
                "W004",
                f"UWSGI_DEBUG is on {place}, and its PIN allows code execution; leave UWSGI_DEBUG"
                " empty when you have finished debugging.",
            )
        if knobs.environment["FLASK_DEBUG"]:
            yield Finding(
                "W005",
                f"FLASK_DEBUG is on {place}, and discloses source lines and request headers; leave"
                " FLASK_DEBUG empty.",
            )


def _clients(knobs: Knobs) -> Iterator[Finding]:
    # An error in production.
    if not (knobs.server_names or _loopback(knobs) or knobs.environment_name == "production"):
        yield Finding(
            "W006",
            f"SERVER_NAMES is '' and HTTP_ADDRESS {knobs.http_address!r}, so clients choose the"
            " host name of the app's absolute URLs; set the names of your site, as in"
            " SERVER_NAMES=example.com.",
        )
    for name in knobs.server_names:
        ending = name.removeprefix("*.")
        if name != ending and "." not in ending and ending.lower() not in _PRIVATE_ENDINGS:
            yield Finding(
                "W007",
                f"SERVER_NAMES has {name!r}, and others can register names below {ending!r}, with"
                " which the app would build its URLs; use your own domain, as in *.example.com.",
            )
    if debugging.too_wide(proxies := knobs.given["TRUSTED_PROXIES"]):  # production rejects it
        yield Finding(
            "W008",
            f"TRUSTED_PROXIES is {proxies!r}, a large part of the Internet, from which forwarded"
            " headers can be spoofed; name the addresses of your proxies alone.",
        )


def _workers(knobs: Knobs) -> Iterator[Finding]:
    if knobs.workers > (cpus := usable_cpus()):
        yield Finding(
            "W009",
            f"WORKERS is {knobs.workers}, more than the CPUs that can be used here ({cpus}), which"
            " costs memory and is no faster; leave WORKERS empty, and raise THREADS.",
        )
    each, limit = knobs.environment["WORKER_MEMORY"], _memory_limit()
    if each and limit and int(each) * knobs.workers > limit:
        yield Finding(
            "W010",
            f"WORKER_MEMORY is {knobs.given['WORKER_MEMORY']!r} for each of {knobs.workers}"
            f" workers, more than the {limit // 1024**2}m in all, so the kernel kills one before it"
            " is replaced; lower WORKER_MEMORY or WORKERS, or raise APP_MEMORY.",
        )


def _loopback(knobs: Knobs) -> bool:
    return ipaddress.ip_address(knobs.http_address).is_loopback


def _memory_limit() -> int | None:
    """The memory limit of this container or systemd service in bytes; None without a limit."""
    for file in map(Path, _MEMORY_LIMITS):
        if file.exists():
            text = file.read_text().strip()
            return int(text) if text.isdecimal() else None
    return None
