"""nginx, and its configuration with the knobs filled in."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy import nginx
from deploy.checks import times, uwsgi_ini
from deploy.checks.finding import Finding, UnseenError, warning
from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal
from deploy.uwsgi import find


def look(knobs: Knobs) -> Iterator[Finding]:
    """Whether nginx takes the configuration, what is odd in it, and whether nginx is safe.

    Raises:
        UnseenError: there is no nginx.
        Refusal: it is too old, or does not take the configuration.
    """
    try:
        find("nginx", "nginx")
    except Refusal:
        raise UnseenError("is not installed here") from None
    with tempfile.TemporaryDirectory() as folder:
        rendered = nginx.test(knobs, Path(folder))
        yield from _times(knobs, rendered)
        yield from _gixy(Path(folder) / "nginx")
    yield from _security_update()


def _values(rendered: str, pattern: str) -> list[str]:
    return re.findall(rf"^[^#\n]*?\b{pattern}", rendered, re.MULTILINE)


def _times(knobs: Knobs, rendered: str) -> Iterator[Finding]:
    limit = int(knobs.environment["REQUEST_TIMEOUT"])
    for value in _values(rendered, r"uwsgi_read_timeout\s+(\w+)"):
        if times.seconds(value) < limit:
            yield warning(
                f"uwsgi_read_timeout is {value} in nginx's configuration and REQUEST_TIMEOUT is"
                f" {limit}, so clients get 504 while the app goes on; write"
                " uwsgi_read_timeout ${REQUEST_TIMEOUT}s."
            )
    patience = uwsgi_ini.option(knobs, "socket-timeout")
    for value in _values(rendered, r"send_timeout\s+(\w+)"):
        if times.seconds(value) > patience:
            yield warning(
                f"send_timeout is {value} in nginx's configuration and socket-timeout is {patience}"
                " in uwsgi.ini, so a client that pauses for longer gets half of an answer, and"
                " takes it for a whole one; raise socket-timeout."
            )


def _gixy(folder: Path) -> Iterator[Finding]:
    """What gixy says, where requirements-dev.txt is installed."""
    program = Path(sys.executable).with_name("gixy")
    if not program.exists():
        return
    done = subprocess.run(
        [program, "--config", PROJECT / ".gixy.cfg", "--format", "json", folder / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    for found in json.loads(done.stdout or "[]"):
        file = Path(found["file"]).relative_to(folder)
        yield warning(
            f"{found['reason'].rstrip('.')} (gixy's {found['plugin']}, nginx/{file} line"
            f" {found['line']}); see {found['reference']}"
        )


def _security_update() -> Iterator[Finding]:
    """A newer nginx in Debian's security archive, as far as apt's lists here know."""
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
        yield warning(
            f"nginx is {found[1]}, and {found[2]} mends what is insecure in it;"
            " type: apt-get install --only-upgrade nginx"
        )
