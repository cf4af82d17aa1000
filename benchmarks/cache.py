"""A page from the cache, and a static file, beside nginx's own speed for a file of that size.

Run as ``python -m benchmarks.cache``, with wrk installed. Each round asks one after the other, so
that what else the machine does strikes all alike. CPU time, which the scheduler counts for each of
nginx's processes, is steadier than throughput.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.servers import HostSite, free_port, until

APP = """
from flask import Flask, Response
app = Flask(__name__)

@app.get("/page")
def page():
    return Response("x" * {size}, headers={{"Cache-Control": "public, max-age=3600"}})
"""
BARE = """
daemon off;
pid nginx.pid;
error_log stderr;
worker_processes auto;
events {{ worker_connections 4096; }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    sendfile on;
    server {{
        listen 127.0.0.1:{port};
        root files;
    }}
}}
"""


@dataclass(frozen=True)
class Target:
    """What is asked for.

    Args:
        name: what people call it.
        url: its address.
        nginx: the process id of nginx's master.
    """

    name: str
    url: str
    nginx: int


@dataclass(frozen=True)
class Figure:
    """One measurement: microseconds of CPU that nginx took for a request, and requests a second."""

    cpu: float
    rate: float


@contextmanager
def bare_nginx(size: int) -> Iterator[tuple[str, int]]:
    """nginx with a folder and nothing else, not even a log; its URL and its master's process id."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "files").mkdir()
        Path(folder, "files", "file.html").write_text("x" * size)
        Path(folder).chmod(0o755)  # for nginx's workers, which run as another user
        Path(folder, "nginx.conf").write_text(BARE.format(port=port))
        process = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "stderr"])
        try:
            until(lambda: Path(folder, "nginx.pid").exists(), "a bare nginx")
            yield f"http://127.0.0.1:{port}/file.html", process.pid
        finally:
            process.terminate()
            process.wait()


@contextmanager
def targets(size: int) -> Iterator[list[Target]]:
    """All that is compared, served."""
    with ExitStack() as stack:
        sources = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (sources / "bench.py").write_text(APP.format(size=size))
        (sources / "static").mkdir()
        (sources / "static" / "file.html").write_text("x" * size)
        site = stack.enter_context(
            HostSite(
                files=[sources / "bench.py", sources / "static"],
                MOUNTS="/path=bench:app",
                SECRET_KEY="bench",
                WORKERS=1,
            )
        )
        master = next(p for p in site.processes() if p.name() == "nginx")
        site.ask("/path/page")
        assert site.ask("/path/page").headers["X-Cache"] == "hit"
        bare, bare_pid = stack.enter_context(bare_nginx(size))
        yield [
            Target("bare nginx, a file", bare, bare_pid),
            Target("ours, a static file", f"{site.url}/path/static/file.html", master.pid),
            Target("ours, a cached page", f"{site.url}/path/page", master.pid),
        ]


def cpu_seconds(master: int) -> float:
    """What nginx's processes have spent so far."""
    processes = psutil.Process(master).children()
    words = (Path(f"/proc/{p.pid}/schedstat").read_text().split() for p in processes)
    return sum(int(spent) for spent, *_ in words) / 1e9


def measure(target: Target, seconds: float, connections: int) -> Figure:
    """Send requests for that long, on so many keep-alive connections.

    Raises:
        AssertionError: a response is missing, or not a 200.
    """
    before = cpu_seconds(target.nginx)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", target.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(target.nginx) - before
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    requests = int(re.search(r"(\d+) requests in", said)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Figure(spent / requests * 1e6, rate)


def compare(size: int, rounds: int, seconds: int, connections: int) -> dict[str, Figure]:
    """The medians of all rounds."""
    with targets(size) as found:
        figures: dict[str, list[Figure]] = {target.name: [] for target in found}
        for _ in range(rounds):
            for target in found:
                figures[target.name].append(measure(target, seconds, connections))
                time.sleep(0.1)
    return {
        name: Figure(
            statistics.median(f.cpu for f in several), statistics.median(f.rate for f in several)
        )
        for name, several in figures.items()
    }


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="bytes of a page and a file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    figures = compare(**vars(arguments))
    static = figures["ours, a static file"]
    print("| | CPU of nginx, µs a request | requests/s | speed beside our static file |")
    print("|---|---|---|---|")
    for name, figure in figures.items():
        ratio = static.cpu / figure.cpu
        print(f"| {name} | {figure.cpu:.1f} | {figure.rate:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
