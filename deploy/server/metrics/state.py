"""What the status page and ``python -m deploy status`` show, in numbers."""

from dataclasses import dataclass

from deploy.server.instances import Instance
from deploy.server.metrics.history import CLASSES, History, Window, quantile
from deploy.server.metrics.requests import Error, Requests
from deploy.server.process_states import ProcessState

# Seconds that rates and latencies are of.
RECENT = 60
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Recent:
    """Requests of the last minute.

    Args:
        mount: their mount; empty for all.
        per_second: by status class.
        milliseconds: p50, p95 and p99 of their durations; None without requests.
        requests: since the exporter was started, with those before that minute.
    """

    mount: str
    per_second: dict[str, float]
    milliseconds: dict[str, float | None]
    requests: int


@dataclass(frozen=True)
class State:
    """The state of a site.

    Args:
        live: the live instance; None if it does not respond.
        release: its release.
        others: instances that start, or drain.
        recent: requests of all mounts.
        mounts: requests of each mount, and those outside of all.
        errors: the last ones, the latest first.
        connections: of clients to nginx, by state.
        certificate_expiry: Unix time; 0 without TLS.
        processes: those of the Procfile.
    """

    live: Instance | None
    release: str
    others: list[str]
    recent: Recent
    mounts: list[Recent]
    errors: list[Error]
    connections: dict[str, int]
    certificate_expiry: int
    processes: list[ProcessState]


def recent(mount: str, requests: Requests, history: History) -> Recent:
    """The requests of a mount, or of all (an empty string)."""
    window = history.last(RECENT)
    mounts = (mount,) if mount else ()
    return Recent(
        mount,
        {name: window.per_second(*mounts, status=name) if window else 0.0 for name in CLASSES},
        quantiles(window, *mounts),
        sum(n for (found, *_), n in requests.counts.items() if not mount or found == mount),
    )


def quantiles(window: Window | None, *mounts: str) -> dict[str, float | None]:
    """By their names."""
    durations = window.durations(mounts) if window else []
    return {name: quantile(share, durations) for name, share in _QUANTILES.items()}
