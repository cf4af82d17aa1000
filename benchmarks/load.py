"""The load: wrk, with keep-alive connections."""

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
    """wrk could not begin."""


@dataclass(frozen=True)
class Load:
    """What wrk measured.

    Args:
        requests: number of responses, with any status.
        seconds: duration.
        p50: median latency in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
        errors: responses with status 400 and above, and requests without a response.
        client_cpu: seconds of CPU time of wrk.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    client_cpu: float


def run(url: str, endpoint: Endpoint, connections: int, requests: int) -> Load:
    """Send requests without pauses, until all have their responses.

    Args:
        url: where the app is mounted.
        endpoint: what is requested.
        connections: number of connections, each with one request at a time.
        requests: number of requests; one for each connection at least.

    Raises:
        NoLoadError: wrk cannot connect.
    """
    with tempfile.NamedTemporaryFile() as body:
        arguments = [str(max(requests, connections)), str(connections), endpoint.method]
        if endpoint.body:
            body.write(endpoint.body)
            body.flush()
            arguments.append(body.name)
        headers = (f"--header={name}: {value}" for name, value in endpoint.headers.items())
        before = _children_cpu()
        done = subprocess.run(
            # One thread, since the servers need the CPUs as well. The duration is a limit.
            [
                *("wrk", "--threads", "1", "--connections", str(connections)),
                *("--duration", "60s", "--timeout", "10s", "--script", str(_SCRIPT)),
                *headers,
                *(url + endpoint.path, "--", *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # as the servers, see places.py
        )
        client_cpu = _children_cpu() - before
    line = next((s for s in done.stdout.splitlines() if s.startswith("RESULT ")), None)
    if not line:
        raise NoLoadError(done.stderr.strip() or f"wrk ended with {done.returncode}")
    return Load(**json.loads(line.removeprefix("RESULT ")), client_cpu=client_cpu)


def check(port: int, mount: str, endpoint: Endpoint) -> None:
    """Send one request, and check the response.

    Raises:
        WrongResponseError: it is not the expected one.
        OSError: there is no response.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    path = mount + endpoint.path
    try:
        connection.request(endpoint.method, path, endpoint.body or None, endpoint.headers)
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
