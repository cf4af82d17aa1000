"""Starting nginx on this machine, with the same script that its container runs."""

import ipaddress
import os
import re
import subprocess
from pathlib import Path

from deploy.knobs import PROJECT, Knobs
from deploy.refusal import Refusal
from deploy.uwsgi import find

# The oldest branch that the tests have run against (Debian 12's, with its security updates).
OLDEST = (1, 22)


def command(run_dir: Path) -> list[str]:
    """The command that starts nginx in ``run_dir``; options for nginx may follow."""
    command = [str(PROJECT / "nginx" / "start.sh"), str(run_dir)]
    if os.geteuid() == 0:
        # Otherwise nginx's workers give up root, and then may not even enter root's own folders.
        # In production nginx never runs as root: see the Dockerfile.
        command += ["-g", "user root;"]
    return command


def environment(knobs: Knobs) -> dict[str, str]:
    """The environment of that command."""
    program = Path(find("nginx", "nginx"))
    find("envsubst", "gettext-base")
    _refuse_old(program)
    address = ipaddress.ip_address(knobs.http_address)
    host = f"[{address}]" if address.version == 6 else str(address)
    _refuse_missing_certificate(knobs)
    return knobs.environment | {
        "LISTEN": f"{host}:{knobs.http_port}",
        "LISTEN_TLS": f"{host}:{knobs.https_port}",
        # People other than root do not have /usr/sbin in their path.
        "PATH": f"{os.environ['PATH']}:{program.parent}",
    }


def test(knobs: Knobs, directory: Path) -> None:
    """Write the configuration into ``directory``/nginx and let nginx read it.

    Raises:
        Refusal: nginx does not accept it (what it says is on standard error), or another
            ``nginx`` is there already.
    """
    # start.sh empties that folder, and makes the other.
    if (directory / "nginx").exists() and not (directory / "spool").exists():
        raise Refusal(f"{directory / 'nginx'} was not made by this; name another folder.")
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*command(directory), "-t", "-q"],
        env=environment(knobs),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Refusal("nginx refuses its configuration; see its message above.")


def _refuse_missing_certificate(knobs: Knobs) -> None:
    # nginx/start.sh would wait for them. In a container somebody may be about to bring them; here,
    # a path with a slip in it is likelier.
    for name in ("TLS_CERTIFICATE", "TLS_KEY") if knobs.tls else ():
        path = Path(knobs.environment[name])
        try:
            path.open("rb").close()
        except OSError as error:
            raise Refusal(
                f"{name} is {str(path)!r}, which cannot be read ({error.strerror}); name a file in"
                " PEM, or leave both at /dev/null."
            ) from None


def _refuse_old(program: Path) -> None:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    match = re.search(r"nginx/(\d+)\.(\d+)", said)
    if not match:
        raise Refusal(
            f"{program} does not tell its version ({said.strip()!r}); install nginx anew."
        )
    if (int(match[1]), int(match[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise Refusal(
            f"{program} is nginx {match[1]}.{match[2]}, which is too old;"
            f" install {wanted} or newer."
        )
