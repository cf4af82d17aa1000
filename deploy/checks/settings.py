"""Knobs that have a possible value, and an unwise one."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from deploy import debugging
from deploy.checks.finding import Finding, warning
from deploy.knobs import Knobs, problem_of_key, usable_cpus

# Where no registry sells names: RFC 6761 and 6762, ICANN's .internal, and what offices use.
_PRIVATE_ENDINGS = {"corp", "example", "home", "internal", "lan", "local", "localhost", "test"}
_MAKE_KEY = "set it to what `openssl rand -hex 32` prints"
# Of a container, by kernel: control groups 2 and 1; see cgroups(7).
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def look(knobs: Knobs) -> Iterator[Finding]:
    """What is unwise about the knobs, each by itself or two together."""
    yield from _secret_key(knobs)
    yield from _debugging(knobs)
    yield from _clients(knobs)
    yield from _workers(knobs)


def _secret_key(knobs: Knobs) -> Iterator[Finding]:
    given = knobs.given["SECRET_KEY"] or Path(knobs.given["SECRET_KEY_FILE"]).is_file()
    if not given:
        yield warning(f"SECRET_KEY is '', so each restart logs everybody out; {_MAKE_KEY}.")
    elif problem := problem_of_key(knobs.secret_key):  # production refuses it
        yield warning(
            f"SECRET_KEY {problem}, so somebody could guess it and sign in as anybody; {_MAKE_KEY}."
        )


def _debugging(knobs: Knobs) -> Iterator[Finding]:
    # A proxy on this machine brings strangers to 127.0.0.1, too.
    open_to_others = not _loopback(knobs) or knobs.given["TRUSTED_PROXIES"].split()
    if open_to_others or knobs.environment_name != "development":
        place = (
            f"with ENVIRONMENT {knobs.environment_name!r} and HTTP_ADDRESS {knobs.http_address!r}"
        )
        if knobs.debugger:
            yield warning(
                f"UWSGI_DEBUG is on {place}, and whoever has its PIN runs code here; leave"
                " UWSGI_DEBUG empty as soon as you have found what you are looking for."
            )
        if knobs.environment["FLASK_DEBUG"]:
            yield warning(
                f"FLASK_DEBUG is on {place}, and shows strangers the app's inner life; leave"
                " FLASK_DEBUG empty."
            )


def _clients(knobs: Knobs) -> Iterator[Finding]:
    # Production refuses that one.
    if not (knobs.server_names or _loopback(knobs) or knobs.environment_name == "production"):
        yield warning(
            f"SERVER_NAMES is '' and HTTP_ADDRESS {knobs.http_address!r}, so a stranger chooses the"
            " host name in the app's links; name the hosts you serve, as in"
            " SERVER_NAMES=example.com."
        )
    for name in knobs.server_names:
        ending = name.removeprefix("*.")
        if name != ending and "." not in ending and ending.lower() not in _PRIVATE_ENDINGS:
            yield warning(
                f"SERVER_NAMES has {name!r}, and anybody can register a name below {ending!r} and"
                " have the app build links with it; name your own domain, as in *.example.com."
            )
    if debugging.too_wide(proxies := knobs.given["TRUSTED_PROXIES"]):  # production rejects it
        yield warning(
            f"TRUSTED_PROXIES is {proxies!r}, a large part of the Internet, from which forwarded"
            " headers can be spoofed; name the addresses of your proxies alone."
        )


def _workers(knobs: Knobs) -> Iterator[Finding]:
    if knobs.workers > (cpus := usable_cpus()):
        yield warning(
            f"WORKERS is {knobs.workers}, more than the CPUs that can be used here ({cpus}), which"
            " costs memory and gains nothing; leave WORKERS empty, and raise THREADS."
        )
    each, limit = knobs.environment["WORKER_MEMORY"], _memory_limit()
    if each and limit and int(each) * knobs.workers > limit:
        yield warning(
            f"WORKER_MEMORY is {knobs.given['WORKER_MEMORY']!r} for each of {knobs.workers}"
            f" workers, more than the {limit // 1024**2}m in all, so the kernel kills one before it"
            " is replaced; lower WORKER_MEMORY or WORKERS, or raise APP_MEMORY."
        )


def _loopback(knobs: Knobs) -> bool:
    return ipaddress.ip_address(knobs.http_address).is_loopback


def _memory_limit() -> int | None:
    """Bytes that this container, or this service of systemd's, may use; None if that is open."""
    for file in map(Path, _MEMORY_LIMITS):
        if file.exists():
            text = file.read_text().strip()
            return int(text) if text.isdecimal() else None
    return None
