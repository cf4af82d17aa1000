"""The load: wrk, on connections that stay open."""

import http.client
import json
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.endpoints import Endpoint

_SCRIPT = Path(__file__).with_name("load.lua")


class WrongResponseError(Exception):
    """A response that is not the expected one."""


class NoLoadError(Exception):
    """wrk could not even begin."""


@dataclass(frozen=True)
class Load:
    """What wrk saw.

    Args:
        requests: the number of responses, with any status.
        seconds: how long it took.
        p50: median latency in milliseconds.
        p99: milliseconds within which 99 of 100 came.
        errors: how many, by kind. `status` is 400 and above; the others have no response.
        client_cpu: seconds of CPU that wrk itself took.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: dict[str, int]
    client_cpu: float


def run(url: str, endpoint: Endpoint, connections: int, seconds: int) -> Load:
    """Send requests without pauses.

    Args:
        url: where the app is mounted.
        endpoint: what to ask for.
        connections: how many clients ask at once.
        seconds: for how long; wrk takes whole ones only.

    Raises:
        NoLoadError: the connection fails.
    """
    with tempfile.NamedTemporaryFile() as body:
        arguments = [endpoint.method]
        if endpoint.body:
            body.write(endpoint.body)
            body.flush()
            arguments += [endpoint.content_type, body.name]
        before = _children_cpu()
        done = subprocess.run(
            # One thread, since the servers need the CPUs as well.
            [
                *("wrk", "--threads", "1", "--connections", str(connections)),
                *("--duration", f"{seconds}s", "--timeout", "10s", "--script", str(_SCRIPT)),
                *(url + endpoint.path, "--", *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # as the servers, see places.py
        )
        client_cpu = _children_cpu() - before
    if done.returncode:
        raise NoLoadError(done.stderr.strip())
    line = next(s for s in done.stdout.splitlines() if s.startswith("RESULT "))
    return Load(**json.loads(line.removeprefix("RESULT ")), client_cpu=client_cpu)


def check(port: int, mount: str, endpoint: Endpoint) -> None:
    """Send one request, and check the response.

    Raises:
        WrongResponseError: it is not the expected one.
        OSError: there is no response.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": endpoint.content_type} if endpoint.body else {}
    try:
        connection.request(endpoint.method, mount + endpoint.path, endpoint.body or None, headers)
        with connection.getresponse() as response:
            body = response.read()
    except http.client.HTTPException as error:
        raise WrongResponseError(f"{endpoint.name}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200 or endpoint.expected not in body:
        raise WrongResponseError(f"{endpoint.name}: {response.status} {body[:200]!r}")


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
