"""``make certificate``: a self-signed certificate, for tests of TLS.

Browsers warn about its unknown issuer. For production, see docs/tls.md.
"""

import ipaddress
import subprocess
from pathlib import Path

from deploy.problems import Refusal
from deploy.server.programs import find
from deploy.settings.knobs import Knobs

CERTIFICATE, KEY = "certificate.pem", "key.pem"
# Apple's systems reject certificates with a longer validity, even imported ones.
_DAYS = 397


def make(knobs: Knobs, directory: Path) -> None:
    """Write a certificate and its key, and print the settings.

    It is for SERVER_NAMES, or for localhost if there are none.

    Args:
        knobs: the settings.
        directory: created if it does not exist; private to this user.

    Raises:
        Refusal: the files exist, or openssl is missing or fails.
    """
    certificate, key = directory / CERTIFICATE, directory / KEY
    for file in (certificate, key):
        if file.exists():
            raise Refusal(f"{file} exists already; remove it, if you want another one.")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    names = knobs.server_names or ["localhost", "127.0.0.1", "::1"]
    command = [
        *(find("openssl", "openssl"), "req", "-x509", "-noenc", "-days", str(_DAYS)),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-subj", f"/CN={names[0][:64]}"),  # X.509's maximum
        *("-addext", f"subjectAltName={','.join(map(_alternative_name, names))}"),
        *("-addext", "extendedKeyUsage=serverAuth"),
        *("-out", str(certificate), "-keyout", str(key)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"openssl fails: {done.stderr.strip()}")
    # nginx's container mounts the file with this mode, and runs as another user. The directory is
    # private.
    key.chmod(0o644)
    print(f"TLS_CERTIFICATE={certificate}\nTLS_KEY={key}")


def _alternative_name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name.strip('[]'))}"
    except ValueError:
        return f"DNS:{name}"
