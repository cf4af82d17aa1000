"""The debugger before a start: access control and the PIN.

The debugger itself is in ``deploy/worker``, and loaded only with UWSGI_DEBUG.
"""

import base64
import ipaddress
import math
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.problems import Refusal

# Minimum entropy of a PIN, which does not depend on the limit of guesses.
_BITS = 80
# Networks whose addresses are in use inside of organisations only (RFC 1918, 4193, 6598, ...).
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128"),
    )
]
# Public addresses, by version of IP: no operator's network is larger (a /8 and a /19).
_LARGEST_OPERATOR = {4: 2**24, 6: 2**109}


def check_pin(pin: str) -> None:
    """Check a configured PIN.

    Raises:
        Refusal: it could be guessed, as "off" or a short one, or has other characters.
    """
    bare = pin.replace("-", "")
    bits = len(bare) * math.log2(10 if bare.isdecimal() else 16)
    if not re.fullmatch("[A-Za-z0-9]+", bare) or bits < _BITS or len(set(bare)) < 8:
        raise Refusal(
            f"WERKZEUG_DEBUG_PIN is {pin!r}, which could be guessed, and the PIN cannot be switched"
            " off; leave it empty, for a random one that is in the log, or write at least 20"
            " letters and digits (25 digits), such as what `openssl rand -hex 16` prints."
        )


def check_guard(text: Mapping[str, str]) -> None:
    """Check that access to the debugger, which allows code execution, is limited.

    Args:
        text: the settings.

    Raises:
        Refusal: too many can reach it, or the PIN could be guessed.
    """
    if text["WERKZEUG_DEBUG_PIN"]:
        check_pin(text["WERKZEUG_DEBUG_PIN"])
    passwords = Path(text["DEBUG_PASSWORD_FILE"])
    if not passwords.exists():
        raise Refusal(
            f"DEBUG_PASSWORD_FILE is {str(passwords)!r}, which does not exist; make it with"
            " htpasswd -B -c, or leave it at /dev/null."
        )
    for name in ("DEBUG_ALLOW", "TRUSTED_PROXIES"):
        if too_wide(text[name]):
            raise Refusal(
                f"UWSGI_DEBUG is on and {name} is {text[name]!r}, which is a large part of the"
                " Internet; name your own addresses alone."
            )
    if text["DEBUG_ALLOW"].split() or passwords.is_file():
        return
    if not is_loopback(text["HTTP_ADDRESS"]):
        raise Refusal(
            f"UWSGI_DEBUG is on and HTTP_ADDRESS is {text['HTTP_ADDRESS']!r}, where others reach"
            " it; set HTTP_ADDRESS=127.0.0.1, or say who may use it with DEBUG_ALLOW or"
            " DEBUG_PASSWORD_FILE."
        )
    if text["TRUSTED_PROXIES"].split():
        raise Refusal(
            f"UWSGI_DEBUG is on and TRUSTED_PROXIES is {text['TRUSTED_PROXIES']!r}, through which"
            " others reach it; say who may use it with DEBUG_ALLOW or DEBUG_PASSWORD_FILE, or leave"
            " TRUSTED_PROXIES empty."
        )


def too_wide(networks: str) -> bool:
    """Whether networks together have more public addresses than any one operator."""
    public = [
        network
        for network in map(ipaddress.ip_network, networks.split())
        if not any(p.version == network.version and network.subnet_of(p) for p in _PRIVATE)
    ]
    for version, most in _LARGEST_OPERATOR.items():
        merged = ipaddress.collapse_addresses(n for n in public if n.version == version)
        if sum(network.num_addresses for network in merged) > most:
            return True
    return False


def directory(sockets: Path, instance: str) -> Path:
    """The private directory of one uWSGI, where its workers find the PIN and each other."""
    return sockets / f"{instance}.debug"


def prepare(private: Path, pin: str = "") -> None:
    """Make that directory. It outlives workers and reloads, and no start of uWSGI.

    Files, since an environment can be read with ``docker inspect`` and is inherited by children.

    Args:
        private: the directory. Only this user and root can write to its parent.
        pin: the PIN; empty for a random one.
    """
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir(mode=0o700)
    # 16 letters and digits without those that look alike, in groups as people read them out.
    random = base64.b32encode(secrets.token_bytes(_BITS // 8)).decode().lower()
    for name, text in (
        ("pin", pin or "-".join(re.findall("....", random))),
        ("key", secrets.token_hex(32)),
    ):
        (private / name).touch(mode=0o600)
        (private / name).write_text(text)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return ipaddress.ip_address(address).is_loopback
