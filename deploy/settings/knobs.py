"""Settings: read, validated, and completed with derived values.

``deploy/defaults.env`` has every setting with its default. A ``.env`` beside ``docker-compose.yml``
overrides it, and the environment overrides both, as in Compose. All other variables of ``.env`` are
the app's, and override the environment, also as in Compose.
"""

import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from deploy.problems import Refusal
from deploy.settings import env_file, procfile, rules
from deploy.settings.kinds import KINDS
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
    KINDS["RUN_DIR"].parse("RUN_DIR", text["RUN_DIR"])
    text["APP_DIR"] = str(rules.app_dir(text, project))
    text["DATA_DIR"] = str(rules.data_dir(text, project))
    values = {name: kind.parse(name, text[name]) for name, kind in KINDS.items()}
    commands = procfile.read(Path(text["APP_DIR"]))
    secret_key = rules.secret_key(text)
    rules.check(text, values, commands, secret_key)

    knobs = Knobs(
        mounts=values["MOUNTS"],
        secret_key=secret_key or secrets.token_hex(32),
        environment_name=text["ENVIRONMENT"],
        http_address=text["HTTP_ADDRESS"],
        http_port=values["HTTP_PORT"],
        https_port=values["HTTPS_PORT"],
        tls=rules.tls(text),
        server_names=values["SERVER_NAMES"],
        max_body_size=values["MAX_BODY_SIZE"],
        proxy_protocol=values["PROXY_PROTOCOL"],
        workers=values["WORKERS"] or usable_cpus(),
        metrics_port=values["METRICS_PORT"],
        run_dir=Path(text["RUN_DIR"]),
        app_dir=Path(text["APP_DIR"]),
        data_dir=Path(text["DATA_DIR"]),
        debugger=values["UWSGI_DEBUG"],
        procfile=commands,
        processes=procfile.scale(text["PROCESSES"], commands, Path(text["APP_DIR"])),
        given=given,
        environment=text,
    )
    # Derived values reach the servers like configured ones. All workers need the same secret key,
    # or each would reject the sessions and forms of the others.
    text |= {
        "WORKERS": str(knobs.workers),
        "WORKER_MEMORY": str(values["WORKER_MEMORY"] or ""),
        "SECRET_KEY": knobs.secret_key,
        "SECRET_KEY_FILE": "/dev/null",
        "LOG_FORMAT": log_format(text),
        "STOP_TIMEOUT": str(knobs.stop_timeout),
        "FLASK_DEBUG": "1" if values["FLASK_DEBUG"] and not knobs.debugger else "",
    }
    for name in ("PROXY_PROTOCOL", "PUBLISH_STATIC_FILES", "UWSGI_DEBUG"):
        text[name] = "1" if values[name] else ""
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
    return KINDS[name].parse(name, _text(environ, project)[name])


def metrics(
    environ: Mapping[str, str] = os.environ, project: Path = PROJECT
) -> tuple[str, int, list[str]]:
    """METRICS_ADDRESS, METRICS_PORT and the paths in MOUNTS, whatever the other settings are.

    Raises:
        Refusal: one of them is invalid, or there is no port.
    """
    text = _text(environ, project)
    names = "METRICS_ADDRESS", "METRICS_PORT", "MOUNTS"
    address, port, found = (KINDS[name].parse(name, text[name]) for name in names)
    if not port:
        raise Refusal("METRICS_PORT is ''; write a port such as 9117, on which metrics are served.")
    return address, port, [mount.path for mount in found]


def app_dir(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Path:
    """APP_DIR, whatever the other settings are.

    Raises:
        Refusal: there is no such directory.
    """
    return rules.app_dir(_text(environ, project), project)


def check_ignore(
    environ: Mapping[str, str] = os.environ, project: Path = PROJECT
) -> frozenset[str]:
    """CHECK_IGNORE, whatever the other settings are: ids of findings that are not reported.

    Raises:
        Refusal: it has an unknown id, or that of a blocking error.
    """
    text = _text(environ, project)["CHECK_IGNORE"]
    return frozenset(KINDS["CHECK_IGNORE"].parse("CHECK_IGNORE", text))


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
