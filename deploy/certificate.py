"""A self-signed certificate, to try TLS with: ``make certificate``.

Browsers warn of it, as they should: nobody vouches for it. For visitors, see docs/tls.md.
"""

import ipaddress
import subprocess
from pathlib import Path

from deploy.knobs import Knobs
from deploy.refusal import Refusal
from deploy.uwsgi import find

CERTIFICATE, KEY = "certificate.pem", "key.pem"
# Apple's systems trust no certificate for longer, not even one that was imported by hand.
_DAYS = 397


def make(knobs: Knobs, folder: Path) -> None:
    """Write a certificate and its key into a folder, and print the knobs to set.

    It is for SERVER_NAMES, or for this machine's own names if there are none.

    Args:
        knobs: the knobs of this machine.
        folder: made if it is not there; only this user may enter it from then on.

    Raises:
        Refusal: the pair is there already, or openssl is missing or fails.
    """
    certificate, key = folder / CERTIFICATE, folder / KEY
    for file in (certificate, key):
        if file.exists():
            raise Refusal(f"{file} is there already; remove it, if you want another one.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    names = knobs.server_names or ["localhost", "127.0.0.1", "::1"]
    command = [
        *(find("openssl", "openssl"), "req", "-x509", "-noenc", "-days", str(_DAYS)),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-subj", f"/CN={names[0][:64]}"),  # longer than that, X.509 does not allow
        *("-addext", f"subjectAltName={','.join(map(_alternative_name, names))}"),
        *("-addext", "extendedKeyUsage=serverAuth"),
        *("-out", str(certificate), "-keyout", str(key)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"openssl fails: {done.stderr.strip()}")
    # A container sees the file as it is here, and nginx in it is another user. The folder is what
    # keeps everybody else out.
    key.chmod(0o644)
    print(f"TLS_CERTIFICATE={certificate}\nTLS_KEY={key}")


def _alternative_name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name.strip('[]'))}"
    except ValueError:
        return f"DNS:{name}"
