"""nginx on this machine, started by the script that its container runs."""

import ipaddress
import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.problems import Refusal
from deploy.server import tls_files
from deploy.server.programs import find
from deploy.settings.knobs import PROJECT, Knobs

# The oldest branch that is tested (Debian 12's, with its security updates).
OLDEST = (1, 22)


def command(run_dir: Path) -> list[str]:
    """The command that starts nginx in ``run_dir``; options for nginx may follow."""
    command = [str(PROJECT / "nginx" / "start.sh"), str(run_dir)]
    if os.geteuid() == 0:
        # Without this, nginx's workers drop root and may not enter root's directories. In
        # production nginx never runs as root: see the Dockerfile.
        command += ["-g", "user root;"]
    return command


def environment(knobs: Knobs) -> dict[str, str]:
    """The environment of that command."""
    program = Path(find("nginx", "nginx"))
    find("envsubst", "gettext-base")
    _refuse_old(program)
    address = ipaddress.ip_address(knobs.http_address)
    host = f"[{address}]" if address.version == 6 else str(address)
    tls_files.pair(knobs)
    return knobs.environment | {
        "LISTEN": f"{host}:{knobs.http_port}",
        "LISTEN_TLS": f"{host}:{knobs.https_port}",
        # Users other than root do not have /usr/sbin in their path.
        "PATH": f"{os.environ['PATH']}:{program.parent}",
    }


def test(knobs: Knobs, directory: Path) -> str:
    """Write the configuration to ``directory``/nginx and test it (``nginx -t``).

    Returns:
        The merged configuration (``nginx -T``). Warnings are printed to standard error.

    Raises:
        Refusal: nginx rejects it, or ``nginx`` is a directory of another program.
    """
    # start.sh empties `nginx`, and creates `spool`.
    if (directory / "nginx").exists() and not (directory / "spool").exists():
        raise Refusal(f"{directory / 'nginx'} belongs to another program; name another directory.")
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*command(directory), "-t", "-T", "-q"],  # start.sh knows a test by -t
        env=environment(knobs),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stderr.splitlines()
        fatal = [line.partition("] ")[2] for line in said if "[emerg]" in line] or said[-1:]
        raise Refusal(f"nginx rejects its configuration: {' '.join(fatal)}; fix what it names.")
    print(done.stderr, end="", file=sys.stderr)
    return done.stdout


def _refuse_old(program: Path) -> None:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"nginx/(\d+)\.(\d+)", said)
    if not match:
        raise Refusal(f"{program} does not print its version ({said.strip()!r}); reinstall nginx.")
    if (int(match[1]), int(match[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise Refusal(
            f"{program} is nginx {match[1]}.{match[2]}, which is too old;"
            f" install {wanted} or newer."
        )
