"""What each setting may be: one line for each of ``deploy/defaults.env``, in its order.

Rules over several settings are in ``rules``. docs/settings.md is made of this table.
"""

import ipaddress
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy import problems
from deploy.problems import Refusal
from deploy.settings import mounts

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# More than any body or container needs, and well below nginx's maximum.
_LARGEST = 1024 * _UNITS["g"]
# The variables in nginx/snippets/security-headers.conf.
SECURITY_HEADERS = (
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
    "Cross-Origin-Opener-Policy",
)
# Headers that nginx sets itself (nginx/snippets/params.conf), or that belong to the connection.
_NGINX_SETS = {
    *("host", "x-request-id", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"),
    *("x-forwarded-host", "x-request-start", "transfer-encoding", "content-length"),
    *("content-type", "connection", "cookie"),
}
# nginx's maximum length in uwsgi_param.
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
# A name of Debian's (Policy, section 5.6.1), perhaps with architecture and version. apt-get takes a
# "-" in front for an option, and one behind for "remove".
_PACKAGE = re.compile(
    r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]*[a-z0-9])?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?"
)
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\]")


@dataclass(frozen=True)
class Kind:
    """What a setting may be.

    Args:
        text: for docs/settings.md.
        parse: from a name and its value to the typed value. Raises Refusal.
    """

    text: str
    parse: Callable[[str, str], Any]


def _text(_: str, value: str) -> str:
    return value


def _whole(least: int, most: int) -> Kind:
    def parse(name: str, value: str) -> int:
        # Not int(), which accepts " 8 ", "1_000" and "٣"; uWSGI and nginx do not.
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise Refusal(f"{name} is {value!r}; write a whole number from {least} to {most}.")
        return int(value)

    return Kind(f"whole number, {least:,} to {most:,}", parse)


def _size(name: str, value: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([kmgKMG]?)", value)
    if not match or not 1 <= int(match[1]) * _UNITS[match[2].lower()] <= _LARGEST:
        raise Refusal(
            f"{name} is {value!r}; write a size from 1 to 1024g: a number of bytes, or with k,"
            " m or g behind it, as in 16m."
        )
    return int(match[1]) * _UNITS[match[2].lower()]


def _or(word: str, other: Kind, what: str = "") -> Kind:
    """The same, or a word that stands for 0."""
    return Kind(
        f"{other.text}, or {what or f'`{word}`'}",
        lambda name, value: 0 if value == word else other.parse(name, value),
    )


def _one_of(*allowed: str) -> Kind:
    def parse(name: str, value: str) -> str:
        if value not in allowed:
            raise Refusal(f"{name} is {value!r}; write {', '.join(allowed[:-1])} or {allowed[-1]}.")
        return value

    return Kind(" / ".join(f"`{word}`" for word in allowed), parse)


def _switch(name: str, value: str) -> bool:
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"", "0", "false", "no", "off"}:
        return False
    raise Refusal(f"{name} is {value!r}; write 1 to switch it on, or leave it empty.")


def _cpus(name: str, value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value):
        raise Refusal(f"{name} is {value!r}; write a number of CPUs such as 1.5, or 0 for all.")
    return value


def _address(name: str, value: str) -> str:
    try:
        ipaddress.ip_address(_without_zone(value))
    except ValueError:
        raise Refusal(
            f"{name} is {value!r}; write an IP address such as 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    return value


def _without_zone(address: str) -> str:
    # Python accepts any zone (fe80::1%eth0), nginx none.
    if "%" in address:
        raise ValueError("it has a zone")
    return address


def _local_address(name: str, value: str) -> str:
    address = ipaddress.ip_address(_address(name, value))
    if not address.is_private or address.is_unspecified:
        raise Refusal(
            f"{name} is '{address}', where others could read the metrics; write 127.0.0.1,"
            " or an address of this machine in a private network."
        )
    return str(address)


def _words(text: str, check: Callable[[str, str], object]) -> Kind:
    """A list, separated by spaces."""

    def parse(name: str, value: str) -> list[str]:
        _plain_spaces(name, value)
        for word in value.split():
            check(name, word)
        return value.split()

    return Kind(f"{text}, separated by spaces", parse)


def _plain_spaces(name: str, value: str) -> None:
    # Such as a no-break space from a web page: white space in Python, but not for nginx.
    for character in value:
        if character.isspace() and character not in " \t\n":
            raise Refusal(f"{name} is {value!r}, with {character!r} in it; write plain spaces.")


def _mounts(name: str, value: str) -> list[mounts.Mount]:
    _plain_spaces(name, value)
    return mounts.parse(value)


def _network(name: str, word: str) -> None:
    try:
        # Host bits have to be zero. nginx would accept 10.0.0.5/8 as the whole network.
        ipaddress.ip_network(_without_zone(word))
        # nginx does not support 10.0.0.0/255.0.0.0.
        if re.search("/.*[.:]", word):
            raise ValueError("the part behind / is not a number of bits")
    except ValueError as error:
        raise Refusal(
            f"{name} has {word!r} ({error}); write IP addresses and networks such as"
            " 10.0.0.0/8, separated by spaces."
        ) from None


def _host_name(name: str, word: str) -> None:
    if not _HOST_NAME.fullmatch(word):
        raise Refusal(
            f"{name} has {word!r}; write host names without scheme, port or path,"
            " separated by spaces, as in example.com *.example.com."
        )


def _security_header(name: str, word: str) -> None:
    if word not in SECURITY_HEADERS:
        raise Refusal(
            f"{name} has {word!r}; write names out of {' '.join(SECURITY_HEADERS)},"
            " separated by spaces, or nothing."
        )


def _header(name: str, word: str) -> None:
    if not _HEADER_NAME.fullmatch(word):
        raise Refusal(
            f"{name} has {word!r}; write names of headers such as X-Forwarded-User,"
            " separated by spaces. (nginx drops any with an underscore.)"
        )
    if word.lower() in _NGINX_SETS:
        raise Refusal(f"{name} has {word!r}, which nginx sets itself; remove it.")


def _package(name: str, word: str) -> None:
    if not _PACKAGE.fullmatch(word):
        raise Refusal(
            f"{name} has {word!r}; write names of Debian packages, separated by spaces, as in"
            " libmagic1 ffmpeg."
        )


def _finding(name: str, word: str) -> None:
    if word not in problems.KINDS:
        raise Refusal(
            f"{name} has {word!r}, which is no finding of `check`; write ids from"
            " docs/check.md, separated by spaces, as in W002 W030."
        )
    if problems.KINDS[word].blocking:
        raise Refusal(
            f"{name} has {word!r}, an error that blocks a start and cannot be ignored;"
            " remove it, and fix the error."
        )


def _path_in_mount(name: str, value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~/-]*)?", value):
        raise Refusal(
            f"{name} is {value!r}; write a path below the mounts, such as /, of"
            " letters, digits, '.', '_', '~' and '-', or nothing."
        )
    return value


def _command(name: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise Refusal(
            f"{name} is {value!r} ({error}); quote its words as you would in a shell."
        ) from None


def _file_of_nginx(name: str, value: str) -> str:
    # nginx reads the path in its configuration.
    if odd := re.search(r"[\s;{}\"'\\$\x00-\x1f\x7f]", value):
        raise Refusal(
            f"{name} is {value!r}, and nginx does not support {odd[0]!r} in the name of a"
            " file; name another one."
        )
    return value


def _run_dir(name: str, value: str) -> str:
    # uWSGI reads a socket with a colon in its name as a TCP address, and uwsgi.ini has the name in
    # a shell command.
    if odd := re.search(r"[:'$`\\\x00-\x1f]", value):
        raise Refusal(
            f"{name} is {value!r}, and uWSGI does not support {odd[0]!r} in the name of"
            " a socket; name another directory."
        )
    return value


_TEXT = Kind("text", _text)
_DIRECTORY = Kind("directory", _text)
_FILE = Kind("file", _text)
_NGINX_FILE = Kind("file", _file_of_nginx)
_PORT = _whole(1, 65_535)
_SECONDS = _whole(1, 86_400)
_RATE = _whole(0, 65_535)
_BYTES = Kind("size, such as `16m`", _size)
_CPUS = Kind("number of CPUs", _cpus)
_SWITCH = Kind("`1`, or empty", _switch)
_NETWORKS = _words("IP addresses and networks", _network)
_HEADERS = _words("names of headers", _header)
_PACKAGES = _words("Debian packages", _package)

KINDS = {
    "APP_DIR": _DIRECTORY,
    "MOUNTS": Kind("mounts, separated by spaces", _mounts),
    "SECRET_KEY": _TEXT,
    "SECRET_KEY_FILE": _FILE,
    "DATA_DIR": _DIRECTORY,
    "APT_PACKAGES": _PACKAGES,
    "APT_BUILD_PACKAGES": _PACKAGES,
    "PUBLISH_STATIC_FILES": Kind("`1` / `0`", _switch),
    "ENVIRONMENT": _one_of("development", "staging", "production"),
    "HTTP_ADDRESS": Kind("IP address", _address),
    "HTTP_PORT": _PORT,
    "SERVER_NAMES": _words("host names", _host_name),
    "TRUSTED_PROXIES": _NETWORKS,
    "IDENTITY_HEADERS": _HEADERS,
    "PASS_HEADERS": _HEADERS,
    "PROXY_PROTOCOL": _SWITCH,
    "DRAIN_DELAY": _whole(0, 3600),
    "SECURITY_HEADERS": _words("names of headers", _security_header),
    "TLS_CERTIFICATE": _NGINX_FILE,
    "TLS_KEY": _NGINX_FILE,
    "HTTPS_PORT": _PORT,
    "HSTS_SECONDS": _or("", _whole(0, 999_999_999), "empty"),
    "ACME_SERVER": Kind("URL", _text),
    "WORKERS": _or("", _whole(1, 1024), "empty"),
    "THREADS": _whole(1, 1024),
    "REQUEST_TIMEOUT": _SECONDS,
    "START_TIMEOUT": _SECONDS,
    "WORKER_MEMORY": _or("", _BYTES, "empty"),
    "WORKER_LIFETIME": _or("", _whole(1, 999_999_999), "empty"),
    "LOAD_APPS": _one_of("auto", "once", "each"),
    "WARM_UP_PATH": Kind("path, or empty", _path_in_mount),
    "MAX_BODY_SIZE": _BYTES,
    "CACHE_SIZE": _or("0", _BYTES),
    "COMPRESS_RESPONSES": _one_of("anonymous", "all", "off"),
    "CLIENT_REQUESTS_AT_ONCE": _RATE,
    "CLIENT_REQUESTS_PER_SECOND": _RATE,
    "CONNECTION_LIFETIME": _SECONDS,
    "APP_MEMORY": _BYTES,
    "APP_CPUS": _CPUS,
    "NGINX_MEMORY": _BYTES,
    "NGINX_CPUS": _CPUS,
    "PROCESSES_MEMORY": _BYTES,
    "PROCESSES_CPUS": _CPUS,
    "PROCESSES": _words("`name=number`", _text),
    "PROCESSES_STOP_TIMEOUT": _SECONDS,
    "RELEASE_COMMAND": Kind("command", _command),
    "APP_IMAGE": Kind("image", _text),
    "NGINX_IMAGE": Kind("image", _text),
    "POSTGRES_PASSWORD": _TEXT,
    "REDIS_PASSWORD": _TEXT,
    "LOG_FORMAT": _one_of("auto", "json", "text"),
    "SENTRY_DSN": Kind("URL", _text),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Kind("URL", _text),
    "METRICS_ADDRESS": Kind("IP address", _local_address),
    "METRICS_PORT": _or("", _PORT, "empty"),
    "PROMETHEUS_PORT": _PORT,
    "UWSGI_DEBUG": _SWITCH,
    "WERKZEUG_DEBUG_PIN": _TEXT,
    "DEBUG_ALLOW": _NETWORKS,
    "DEBUG_PASSWORD_FILE": _NGINX_FILE,
    "CHECK_IGNORE": _words("ids of findings", _finding),
    "FLASK_DEBUG": _SWITCH,
    "RUN_DIR": Kind("directory", _run_dir),
}
