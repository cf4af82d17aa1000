"""Settings: read, validated, and completed with derived values.

``deploy/defaults.env`` has every setting with its default. A ``.env`` beside ``docker-compose.yml``
overrides it, and the environment overrides both, as in Compose. All other variables of ``.env`` are
the app's, and override the environment, also as in Compose.
"""

import ipaddress
import math
import os
import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from deploy.problems import KINDS, Refusal
from deploy.settings import debugging, env_file, mounts, places, procfile
from deploy.settings.mounts import Mount
from deploy.settings.procfile import Process

# The bundle. The app is in APP_DIR.
PROJECT = Path(__file__).resolve().parents[2]
DEFAULTS = PROJECT / "deploy" / "defaults.env"

# Settings that had another name in an earlier release, by that name.
RENAMED: dict[str, str] = {}
# Similarity of a misspelt name (WORKRES, WORKER, SERVER_NAME), and less than that of common names
# of other variables (HTTP_PROXY, SECRET_KEY_BASE).
_ALIKE = 0.84
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
    *("content-type", "connection"),
}
# nginx's maximum length in uwsgi_param.
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
_LISTS = (
    *("MOUNTS", "SERVER_NAMES", "TRUSTED_PROXIES", "DEBUG_ALLOW", "SECURITY_HEADERS"),
    *("IDENTITY_HEADERS", "PASS_HEADERS", "CHECK_IGNORE", "APT_PACKAGES", "APT_BUILD_PACKAGES"),
    "PROCESSES",
)
# A name of Debian's (Policy, section 5.6.1), perhaps with architecture and version. apt-get takes a
# "-" in front for an option, and one behind for "remove".
_PACKAGE = re.compile(
    r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]*[a-z0-9])?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?"
)
# Bytes. RFC 2104 (section 3) asks for a key as long as the hash; Flask signs with SHA-1.
_SHORTEST_KEY = 20
# Keys of examples, such as that of Flask's documentation (192b...): the first that an attacker
# tries.
_KEY_OF_AN_EXAMPLE = re.compile(
    r"change.?me|example|insecure|your.?(secret|key)|192b9bdd22ab9ed4", re.I
)
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\]")


@dataclass(frozen=True)
class Knobs:
    """The settings of one start, validated and typed.

    ``environment`` is the environment of nginx's and uWSGI's processes: all settings as text, and
    the variables of the app. ``given`` has the settings as configured, before defaults are derived.
    """

    mounts: list[Mount]
    secret_key: str
    environment_name: str
    http_address: str
    http_port: int
    https_port: int
    tls: bool
    server_names: list[str]
    max_body_size: int
    proxy_protocol: bool
    workers: int
    metrics_port: int
    run_dir: Path
    app_dir: Path
    data_dir: Path
    debugger: bool
    procfile: dict[str, str]
    processes: list[Process]
    given: dict[str, str]
    environment: dict[str, str]

    @property
    def stop_timeout(self) -> int:
        """Seconds of a graceful shutdown: DRAIN_DELAY, and the longest request after it."""
        return sum(int(self.environment[name]) for name in ("DRAIN_DELAY", "REQUEST_TIMEOUT"))


def read(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Knobs:
    """Read and validate the settings.

    Args:
        environ: the environment of this process.
        project: the directory of ``.env`` and of a relative ``RUN_DIR``.

    Raises:
        Refusal: a setting has an invalid value, is misspelt, or conflicts with another.
    """
    defaults = env_file.read(DEFAULTS)
    text = _text(environ, project)
    _refuse_misspelt(text, defaults)
    for name in ("SECRET_KEY_FILE", "DEBUG_PASSWORD_FILE", "TLS_CERTIFICATE", "TLS_KEY", "RUN_DIR"):
        if not text[name]:
            raise Refusal(f"{name} is ''; write a path, or leave it out for {defaults[name]}.")
        text[name] = str((project / text[name]).absolute())
    given = dict(text)
    _check_run_dir(text)
    text["APP_DIR"] = str(_app_dir(text, project))
    text["DATA_DIR"] = str(_data_dir(text, project))
    for name in _LISTS:
        _check_spaces(text, name)

    workers = _whole_number(text, "WORKERS", 1, 1024) if text["WORKERS"] else usable_cpus()
    _whole_number(text, "THREADS", 1, 1024)
    seconds = "REQUEST_TIMEOUT", "START_TIMEOUT", "PROCESSES_STOP_TIMEOUT", "CONNECTION_LIFETIME"
    for name in seconds:
        _whole_number(text, name, 1, 86_400)
    for name in ("CLIENT_REQUESTS_AT_ONCE", "CLIENT_REQUESTS_PER_SECOND"):
        _whole_number(text, name, 0, 65_535)
    max_body_size = _check_size(text, "MAX_BODY_SIZE")
    if text["CACHE_SIZE"] != "0":
        _check_size(text, "CACHE_SIZE")
    for name in ("APP_MEMORY", "NGINX_MEMORY", "PROCESSES_MEMORY"):
        _check_size(text, name)
    for name in ("APP_CPUS", "NGINX_CPUS", "PROCESSES_CPUS"):
        _check_cpus(text, name)
    _check_address(text, "HTTP_ADDRESS")
    _, metrics_port = _metrics(text)
    _whole_number(text, "PROMETHEUS_PORT", 1, 65_535)
    for name in ("TRUSTED_PROXIES", "DEBUG_ALLOW"):
        _check_networks(text, name)
    names = text["SERVER_NAMES"].split()
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise Refusal(
                f"SERVER_NAMES has {name!r}; write host names without scheme, port or path,"
                " separated by spaces, as in example.com *.example.com."
            )
    _check_headers(text)
    _check_command(text, "RELEASE_COMMAND")
    commands = procfile.read(Path(text["APP_DIR"]))
    if "release" in commands and text["RELEASE_COMMAND"].strip():
        raise Refusal(
            f"RELEASE_COMMAND is {text['RELEASE_COMMAND']!r}, and the Procfile has a release line,"
            " which is the same step; remove one of the two."
        )
    _check_ignore(text)
    for name in ("APT_PACKAGES", "APT_BUILD_PACKAGES"):
        _check_packages(text, name)
    _check_warm_up_path(text)
    _one_of(text, "COMPRESS_RESPONSES", ("anonymous", "all", "off"))
    _one_of(text, "LOAD_APPS", ("auto", "once", "each"))
    _one_of(text, "LOG_FORMAT", ("auto", "json", "text"))
    if text["WORKER_MEMORY"]:
        text["WORKER_MEMORY"] = str(_check_size(text, "WORKER_MEMORY"))
    if text["WORKER_LIFETIME"]:
        _whole_number(text, "WORKER_LIFETIME", 1, 999_999_999)
    _one_of(text, "ENVIRONMENT", ("development", "staging", "production"))
    if _whole_number(text, "DRAIN_DELAY", 0, 3600) and not text["TRUSTED_PROXIES"].split():
        raise Refusal(
            f"DRAIN_DELAY is {text['DRAIN_DELAY']!r} and TRUSTED_PROXIES is empty; name the load"
            " balancer, whose healthcheck is told to turn to other machines."
        )
    secret_key = _secret_key(text)
    proxy_protocol = _yes_or_no(text, "PROXY_PROTOCOL")
    if proxy_protocol and not text["TRUSTED_PROXIES"].split():
        raise Refusal(
            "PROXY_PROTOCOL is on and TRUSTED_PROXIES is empty; name the proxies that send the"
            " client's address with it."
        )
    tls = _tls(text)
    _check_security_headers(text)
    debugger = _yes_or_no(text, "UWSGI_DEBUG")
    traceback = _yes_or_no(text, "FLASK_DEBUG")
    publish = _yes_or_no(text, "PUBLISH_STATIC_FILES")
    if text["ENVIRONMENT"] == "production":
        _require_for_production(text, secret_key, tls)
    if debugger:
        debugging.check_guard(text)

    knobs = Knobs(
        mounts=mounts.parse(text["MOUNTS"]),
        secret_key=secret_key or secrets.token_hex(32),
        environment_name=text["ENVIRONMENT"],
        http_address=text["HTTP_ADDRESS"],
        http_port=_whole_number(text, "HTTP_PORT", 1, 65_535),
        https_port=_whole_number(text, "HTTPS_PORT", 1, 65_535),
        tls=tls,
        server_names=names,
        max_body_size=max_body_size,
        proxy_protocol=proxy_protocol,
        workers=workers,
        metrics_port=metrics_port,
        run_dir=Path(text["RUN_DIR"]),
        app_dir=Path(text["APP_DIR"]),
        data_dir=Path(text["DATA_DIR"]),
        debugger=debugger,
        procfile=commands,
        processes=procfile.scale(text["PROCESSES"], commands, Path(text["APP_DIR"])),
        given=given,
        environment=text,
    )
    # Derived values reach the servers like configured ones. All workers need the same secret key,
    # or each would reject the sessions and forms of the others.
    text |= {
        "WORKERS": str(workers),
        "SECRET_KEY": knobs.secret_key,
        "SECRET_KEY_FILE": "/dev/null",
        "PROXY_PROTOCOL": "1" if proxy_protocol else "",
        "PUBLISH_STATIC_FILES": "1" if publish else "",
        "LOG_FORMAT": log_format(text),
        "UWSGI_DEBUG": "1" if debugger else "",
        "STOP_TIMEOUT": str(knobs.stop_timeout),
        "FLASK_DEBUG": "1" if traceback and not debugger else "",
    }
    return knobs


def log_format(text: Mapping[str, str]) -> str:
    """LOG_FORMAT, with what ``auto`` is for this standard output."""
    # log_relay.pl, which starts nginx's container, has the same rule.
    given = text.get("LOG_FORMAT", "auto")
    if given != "auto":
        return given
    return "json" if text.get("ENVIRONMENT") == "production" and not os.isatty(1) else "text"


def usable_cpus() -> int:
    """The number of CPUs that this process may use, at least 1.

    ``os.cpu_count()`` is that of the machine. A container is limited by an affinity mask or by a
    quota, in ``cpu.max`` (cgroup 2) or ``cpu.cfs_quota_us`` (cgroup 1).
    """
    allowed = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            words = Path(quota_file).read_text().split()
            words += Path(period_file).read_text().split() if period_file else []
        except OSError:
            continue
        quota, period = words
        if quota not in {"max", "-1"}:
            return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    return allowed


def run_dir(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Path:
    """RUN_DIR, whatever the other settings are."""
    return (project / _text(environ, project)["RUN_DIR"]).absolute()


def packages(
    name: str, environ: Mapping[str, str] = os.environ, project: Path = PROJECT
) -> list[str]:
    """APT_PACKAGES or APT_BUILD_PACKAGES, whatever the other settings are.

    Raises:
        Refusal: a word in it is no name of a package.
    """
    return _check_packages(_text(environ, project), name)


def metrics(
    environ: Mapping[str, str] = os.environ, project: Path = PROJECT
) -> tuple[str, int, list[str]]:
    """METRICS_ADDRESS, METRICS_PORT and the paths in MOUNTS, whatever the other settings are.

    Raises:
        Refusal: one of them is invalid, or there is no port.
    """
    text = _text(environ, project)
    address, port = _metrics(text)
    if not port:
        raise Refusal("METRICS_PORT is ''; write a port such as 9117, on which metrics are served.")
    return address, port, [mount.path for mount in mounts.parse(text["MOUNTS"])]


def _metrics(text: Mapping[str, str]) -> tuple[str, int]:
    _check_address(text, "METRICS_ADDRESS")
    address = ipaddress.ip_address(text["METRICS_ADDRESS"])
    if not address.is_private or address.is_unspecified:
        raise Refusal(
            f"METRICS_ADDRESS is '{address}', where others could read the metrics; write 127.0.0.1,"
            " or an address of this machine in a private network."
        )
    port = _whole_number(text, "METRICS_PORT", 1, 65_535) if text["METRICS_PORT"] else 0
    return str(address), port


def app_dir(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Path:
    """APP_DIR, whatever the other settings are.

    Raises:
        Refusal: there is no such directory.
    """
    return _app_dir(_text(environ, project), project)


def check_ignore(
    environ: Mapping[str, str] = os.environ, project: Path = PROJECT
) -> frozenset[str]:
    """CHECK_IGNORE, whatever the other settings are: ids of findings that are not reported.

    Raises:
        Refusal: it has an unknown id, or that of a blocking error.
    """
    return _check_ignore(_text(environ, project))


def _check_ignore(text: Mapping[str, str]) -> frozenset[str]:
    ids = frozenset(text["CHECK_IGNORE"].split())
    for name in sorted(ids):
        if name not in KINDS:
            raise Refusal(
                f"CHECK_IGNORE has {name!r}, which is no finding of `check`; write ids from"
                " docs/check.md, separated by spaces, as in W002 W030."
            )
        if KINDS[name].blocking:
            raise Refusal(
                f"CHECK_IGNORE has {name!r}, an error that blocks a start and cannot be ignored;"
                " remove it, and fix the error."
            )
    return ids


def _check_packages(text: Mapping[str, str], name: str) -> list[str]:
    words = text[name].split()
    for word in words:
        if not _PACKAGE.fullmatch(word):
            raise Refusal(
                f"{name} has {word!r}; write names of Debian packages, separated by spaces, as in"
                " libmagic1 ffmpeg."
            )
    return words


def _text(environ: Mapping[str, str], project: Path) -> dict[str, str]:
    knobs = env_file.read(DEFAULTS)
    shell = {name: environ[name] for name in knobs.keys() & environ.keys()}
    return dict(environ) | knobs | env_file.read(project / ".env") | shell


def _refuse_misspelt(text: Mapping[str, str], knobs: Mapping[str, str]) -> None:
    for name in text.keys() - knobs.keys():
        if name.startswith("OTEL_"):
            continue  # OpenTelemetry's, which resemble each other
        if name.startswith("UWSGI_"):
            raise Refusal(
                f"{name} is set, and uWSGI reads every UWSGI_* variable as an option of its own;"
                " put the option into uwsgi.ini, or give the variable another name."
            )
        if name in RENAMED:
            raise Refusal(
                f"{name} is set to {text[name]!r}, and this release calls it {RENAMED[name]};"
                " rename it in .env, or wherever it is set (CHANGELOG.md has what else changed)."
            )
        if close := get_close_matches(name.upper(), knobs, n=1, cutoff=_ALIKE):
            raise Refusal(
                f"{name} is set to {text[name]!r}, but there is no such knob;"
                f" write {close[0]} (all of them are in deploy/defaults.env)."
            )


def _whole_number(text: Mapping[str, str], name: str, least: int, most: int) -> int:
    value = text[name]
    # Not int(), which accepts " 8 ", "1_000" and "٣"; uWSGI and nginx do not.
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise Refusal(f"{name} is {value!r}; write a whole number from {least} to {most}.")
    return int(value)


def _check_size(text: Mapping[str, str], name: str) -> int:
    match = re.fullmatch(r"([0-9]{1,12})([kmgKMG]?)", text[name])
    if not match or not 1 <= int(match[1]) * _UNITS[match[2].lower()] <= _LARGEST:
        raise Refusal(
            f"{name} is {text[name]!r}; write a size from 1 to 1024g: a number of bytes, or with k,"
            " m or g behind it, as in 16m."
        )
    return int(match[1]) * _UNITS[match[2].lower()]


def _check_cpus(text: Mapping[str, str], name: str) -> None:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text[name]):
        raise Refusal(
            f"{name} is {text[name]!r}; write a number of CPUs such as 1.5, or 0 for all."
        )


def _check_run_dir(text: Mapping[str, str]) -> None:
    # uWSGI reads a socket with a colon in its name as a TCP address, and uwsgi.ini has the name in
    # a shell command.
    if odd := re.search(r"[:'$`\\\x00-\x1f]", text["RUN_DIR"]):
        raise Refusal(
            f"RUN_DIR is {text['RUN_DIR']!r}, and uWSGI does not support {odd[0]!r} in the name of"
            " a socket; name another directory."
        )


def _app_dir(text: Mapping[str, str], project: Path) -> Path:
    # An image has the project at one place, wherever it was on the host.
    in_image = project / ".project"
    path = (in_image if in_image.is_symlink() else project / text["APP_DIR"]).resolve()
    if not path.is_dir():
        raise Refusal(
            f"APP_DIR is {text['APP_DIR']!r}, and there is no directory {path}; write the path of"
            " your project, from docker-compose.yml on, as in ../shop."
        )
    return path


def _data_dir(text: Mapping[str, str], project: Path) -> Path:
    """DATA_DIR: not where images, commits or a start would affect it."""
    app_dir = Path(text["APP_DIR"])
    instance = places.instance(app_dir)
    allowed = instance, app_dir / "instance"
    path = Path(os.path.normpath(text["DATA_DIR"] or instance))
    reason = ""
    if not path.is_absolute():
        reason = "is relative"
    elif path.is_relative_to(text["RUN_DIR"]):
        reason = "is in RUN_DIR, which each start empties"
    elif any(
        place.is_relative_to(path)
        or (path.is_relative_to(place) and not any(map(path.is_relative_to, allowed)))
        for place in (project, app_dir)
    ):
        reason = f"is in the checkout or around it, so data would get into images ({project})"
    if reason:
        raise Refusal(
            f"DATA_DIR is {str(path)!r}, which {reason}; write an absolute path outside the"
            " checkout, or leave it empty for the directory `instance`."
        )
    return path


def _check_warm_up_path(text: Mapping[str, str]) -> None:
    path = text["WARM_UP_PATH"]
    if not re.fullmatch(r"(/[A-Za-z0-9._~/-]*)?", path):
        raise Refusal(
            f"WARM_UP_PATH is {path!r}; write a path below the mounts, such as /, of"
            " letters, digits, '.', '_', '~' and '-', or nothing."
        )


def _check_spaces(text: Mapping[str, str], name: str) -> None:
    # Such as a no-break space from a web page: white space in Python, but not in nginx/start.sh.
    for character in text[name]:
        if character.isspace() and character not in " \t\n":
            raise Refusal(
                f"{name} is {text[name]!r}, with {character!r} in it; write plain spaces."
            )


def _check_address(text: Mapping[str, str], name: str) -> None:
    try:
        ipaddress.ip_address(_without_zone(text[name]))
    except ValueError:
        raise Refusal(
            f"{name} is {text[name]!r}; write an IP address such as 127.0.0.1, or 0.0.0.0 for all."
        ) from None


def _without_zone(address: str) -> str:
    # Python accepts any zone (fe80::1%eth0), nginx none.
    if "%" in address:
        raise ValueError("it has a zone")
    return address


def _check_networks(text: Mapping[str, str], name: str) -> None:
    for word in text[name].split():
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


def _check_command(text: Mapping[str, str], name: str) -> None:
    try:
        shlex.split(text[name])
    except ValueError as error:
        raise Refusal(
            f"{name} is {text[name]!r} ({error}); quote its words as you would in a shell."
        ) from None


def _one_of(text: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> None:
    if text[name] not in allowed:
        choices = ", ".join(allowed[:-1]) + " or " + allowed[-1]
        raise Refusal(f"{name} is {text[name]!r}; write {choices}.")


def _yes_or_no(text: Mapping[str, str], name: str) -> bool:
    value = text[name].lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise Refusal(f"{name} is {text[name]!r}; write 1 to switch it on, or leave it empty.")


def _tls(text: Mapping[str, str]) -> bool:
    # Not whether the files exist: the app's container has their names only.
    certificate, key = (text[name] != os.devnull for name in ("TLS_CERTIFICATE", "TLS_KEY"))
    if certificate != key:
        missing = "TLS_KEY" if certificate else "TLS_CERTIFICATE"
        raise Refusal(f"{missing} is '/dev/null' and the other half of the pair is set; set both.")
    for name in ("TLS_CERTIFICATE", "TLS_KEY"):
        # nginx reads the path in its configuration.
        if odd := re.search(r"[\s;{}\"'\\$]", text[name]):
            raise Refusal(
                f"{name} is {text[name]!r}, and nginx does not support {odd[0]!r} in the name of a"
                " file; name another one."
            )
    if certificate and text["HTTPS_PORT"] == text["HTTP_PORT"]:
        raise Refusal(
            f"HTTPS_PORT and HTTP_PORT are both {text['HTTP_PORT']!r}; give each its own, as in"
            " HTTPS_PORT=8443."
        )
    if text["HSTS_SECONDS"]:
        _whole_number(text, "HSTS_SECONDS", 0, 999_999_999)
    return certificate


def _check_security_headers(text: Mapping[str, str]) -> None:
    for name in text["SECURITY_HEADERS"].split():
        if name not in SECURITY_HEADERS:
            raise Refusal(
                f"SECURITY_HEADERS has {name!r}; write names out of {' '.join(SECURITY_HEADERS)},"
                " separated by spaces, or nothing."
            )


def _check_headers(text: Mapping[str, str]) -> None:
    for setting in ("IDENTITY_HEADERS", "PASS_HEADERS"):
        for name in text[setting].split():
            if not _HEADER_NAME.fullmatch(name):
                raise Refusal(
                    f"{setting} has {name!r}; write names of headers such as X-Forwarded-User,"
                    " separated by spaces. (nginx drops any with an underscore.)"
                )
            if name.lower() in _NGINX_SETS:
                raise Refusal(f"{setting} has {name!r}, which nginx sets itself; remove it.")
    identity, passed = (text[n].lower().split() for n in ("IDENTITY_HEADERS", "PASS_HEADERS"))
    if both := sorted({*identity} & {*passed}):
        raise Refusal(
            f"IDENTITY_HEADERS and PASS_HEADERS both have {both[0]!r}, and any client could send"
            " the latter; remove it from PASS_HEADERS."
        )
    if not identity:
        return
    if not text["TRUSTED_PROXIES"].split() or _yes_or_no(text, "PROXY_PROTOCOL"):
        raise Refusal(
            f"IDENTITY_HEADERS is {text['IDENTITY_HEADERS']!r} and no proxy is trusted to send"
            " them; name the proxy that sets these headers in TRUSTED_PROXIES, without"
            " PROXY_PROTOCOL."
        )
    if debugging.too_wide(text["TRUSTED_PROXIES"]):
        raise Refusal(
            f"IDENTITY_HEADERS is set and TRUSTED_PROXIES is {text['TRUSTED_PROXIES']!r}, a large"
            " part of the Internet, which could sign in as any user; name only the addresses of"
            " your proxies."
        )


def _secret_key(text: Mapping[str, str]) -> str:
    key = _secret_from(text["SECRET_KEY_FILE"])
    if key and text["SECRET_KEY"]:
        raise Refusal("SECRET_KEY and SECRET_KEY_FILE are both set; leave one of them out.")
    return key or text["SECRET_KEY"]


def _secret_from(file: str) -> str:
    try:
        key = Path(file).read_text().strip()
        none = not Path(file).is_file()  # /dev/null
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            f"SECRET_KEY_FILE is {file!r}, which cannot be read ({error}); name a text file that"
            " holds the key and that this user may read."
        ) from None
    if not key and not none:
        raise Refusal(f"SECRET_KEY_FILE is {file!r}, which is empty; write the key into it.")
    return key


def _require_for_production(text: Mapping[str, str], secret_key: str, tls: bool) -> None:
    for name in ("UWSGI_DEBUG", "FLASK_DEBUG"):
        if _yes_or_no(text, name):
            raise Refusal(
                f"ENVIRONMENT is 'production' and {name} is {text[name]!r}, which discloses source"
                f" code to clients; leave {name} empty."
            )
    if not text["SERVER_NAMES"].split():
        raise Refusal(
            "ENVIRONMENT is 'production' and SERVER_NAMES is empty; set the names of your site, as"
            " in SERVER_NAMES=example.com."
        )
    if not secret_key:
        raise Refusal(
            "ENVIRONMENT is 'production' and there is no secret key; set SECRET_KEY_FILE, or"
            " SECRET_KEY, for example to what `openssl rand -hex 32` prints."
        )
    # Without any part of the key: logs are less private.
    if problem := problem_of_key(secret_key):
        raise Refusal(
            f"ENVIRONMENT is 'production' and the secret key {problem}, so an attacker could guess"
            " it and sign in as any user; make one with `openssl rand -hex 32`."
        )
    if debugging.too_wide(text["TRUSTED_PROXIES"]):
        raise Refusal(
            f"ENVIRONMENT is 'production' and TRUSTED_PROXIES is {text['TRUSTED_PROXIES']!r}, which"
            " is a large part of the Internet; name the addresses of your proxies alone."
        )
    # With the PROXY protocol, a proxy passes TLS through.
    if not tls and (_yes_or_no(text, "PROXY_PROTOCOL") or not text["TRUSTED_PROXIES"].split()):
        raise Refusal(
            "ENVIRONMENT is 'production' and there is no TLS; set TLS_CERTIFICATE and TLS_KEY, or"
            " name the reverse proxy that terminates TLS in TRUSTED_PROXIES. See docs/tls.md."
        )


def problem_of_key(key: str) -> str | None:
    """Why an attacker could guess a secret key; None if that is infeasible."""
    if len(key.encode()) < _SHORTEST_KEY:
        return f"has fewer than {_SHORTEST_KEY} bytes"
    if _KEY_OF_AN_EXAMPLE.search(key):
        return "is one that stands in examples"
    if len(set(key)) < 8:
        return "has only a few different characters"
    return None
