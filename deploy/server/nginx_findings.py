"""nginx, and its rendered configuration."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding, NotCheckedError, Refusal
from deploy.server import nginx, uwsgi_ini
from deploy.server.programs import find
from deploy.settings import durations
from deploy.settings.knobs import PROJECT, Knobs


def look(knobs: Knobs) -> Iterator[Finding]:
    """Check nginx's version, its configuration, and whether there is a security update.

    Raises:
        NotCheckedError: nginx is not installed.
        Refusal: it is too old, or rejects the configuration.
    """
    try:
        find("nginx", "nginx")
    except Refusal:
        raise NotCheckedError("is not installed here") from None
    with tempfile.TemporaryDirectory() as directory:
        rendered = nginx.test(knobs, Path(directory))
        yield from _times(knobs, rendered)
        yield from _gixy(Path(directory) / "nginx")
    yield from _security_update()


def _values(rendered: str, pattern: str) -> list[str]:
    return re.findall(rf"^[^#\n]*?\b{pattern}", rendered, re.MULTILINE)


def _times(knobs: Knobs, rendered: str) -> Iterator[Finding]:
    limit = int(knobs.environment["REQUEST_TIMEOUT"])
    for value in _values(rendered, r"uwsgi_read_timeout\s+(\w+)"):
        if durations.seconds(value) < limit:
            yield Finding(
                "W051",
                f"uwsgi_read_timeout is {value} in nginx's configuration and REQUEST_TIMEOUT is"
                f" {limit}, so clients get 504 while the request still runs; write"
                " uwsgi_read_timeout ${REQUEST_TIMEOUT}s.",
            )
    timeout = uwsgi_ini.option(knobs, "socket-timeout")
    for value in _values(rendered, r"send_timeout\s+(\w+)"):
        if durations.seconds(value) > timeout:
            yield Finding(
                "W052",
                f"send_timeout is {value} in nginx's configuration and socket-timeout is {timeout}"
                " in uwsgi.ini, so a slow client may get a truncated response that looks complete;"
                " raise socket-timeout.",
            )


def _gixy(directory: Path) -> Iterator[Finding]:
    """Run gixy, if deploy/requirements/dev.txt is installed."""
    program = Path(sys.executable).with_name("gixy")
    if not program.exists():
        return
    done = subprocess.run(
        [program, "--config", PROJECT / ".gixy.cfg", "--format", "json", directory / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    for found in json.loads(done.stdout or "[]"):
        file = Path(found["file"]).relative_to(directory)
        yield Finding(
            "W053",
            f"{found['reason'].rstrip('.')} (gixy's {found['plugin']}, nginx/{file} line"
            f" {found['line']}); see {found['reference']}",
        )


def _security_update() -> Iterator[Finding]:
    """A newer nginx in Debian's security archive, by apt's lists on this machine."""
    if not shutil.which("apt-get"):
        return
    done = subprocess.run(
        ["apt-get", "--simulate", "install", "--only-upgrade", "nginx"],
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if found := re.search(r"^Inst nginx \[(\S+)\] \((\S+) .*-[Ss]ecurity", done.stdout, re.M):
        yield Finding(
            "W054",
            f"nginx is {found[1]}, and {found[2]} has security fixes;"
            " type: apt-get install --only-upgrade nginx",
        )
