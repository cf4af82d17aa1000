"""TLS_CERTIFICATE and TLS_KEY: a handshake in memory for each server name."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.problems import Finding, Refusal
from deploy.settings.knobs import Knobs

# Let's Encrypt's certificates are renewed with 30 days left; with fewer than this, renewal fails.
_DAYS_LEFT = 14
_SECONDS_A_DAY = 86_400
# X509_V_FLAG_NO_CHECK_TIME in openssl/x509_vfy.h. Dates have findings of their own.
_ANY_TIME = 0x200000


def look(knobs: Knobs) -> Iterator[Finding]:
    """Check the certificate of this machine, if there is one."""
    if not knobs.tls:
        return
    try:
        files = pair(knobs)
    except Refusal as refusal:
        yield Finding("E040", str(refusal))
        return
    yield from look_at(*files, knobs.server_names)


def pair(knobs: Knobs) -> list[Path]:
    """The certificate and its key; empty without TLS.

    Raises:
        Refusal: one of them cannot be read.
    """
    # nginx/start.sh waits for them, since an ACME client may be about to get them. Without
    # containers, a misspelt path is more likely.
    names = ("TLS_CERTIFICATE", "TLS_KEY") if knobs.tls else ()
    paths = [Path(knobs.environment[name]) for name in names]
    for name, path in zip(names, paths, strict=True):
        try:
            path.open("rb").close()
        except OSError as error:
            raise Refusal(
                f"{name} is {str(path)!r}, which cannot be read ({error.strerror}); name a file in"
                " PEM, or leave both at /dev/null."
            ) from None
    return paths


def look_at(certificate: Path, key: Path, names: list[str]) -> Iterator[Finding]:
    """Whether certificate and key match, are valid now, and cover the names.

    Args:
        certificate: TLS_CERTIFICATE.
        key: TLS_KEY.
        names: SERVER_NAMES.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # No passphrase, as in nginx. Without this, OpenSSL prompts for one on the terminal.
        server.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as problem:
        why = (problem.reason or str(problem)).lower().replace("_", " ")
        yield Finding(
            "E040",
            f"TLS_KEY is {str(key)!r}, which cannot be used with TLS_CERTIFICATE"
            f" {str(certificate)!r} ({why}); set a matching pair, in PEM, without a passphrase.",
        )
        return

    try:
        seen = _shake_hands(server, certificate)
    except ssl.SSLError as problem:
        yield Finding(
            "E041",
            f"TLS_CERTIFICATE is {str(certificate)!r}, which browsers reject"
            f" ({getattr(problem, 'verify_message', problem)}); get another one, see docs/tls.md.",
        )
        return
    yield from _dates(certificate, seen)
    for name in names:
        try:
            # A wildcard needs a name that matches it.
            _shake_hands(server, certificate, name.replace("*", "any", 1).strip("[]"))
        except ssl.SSLCertVerificationError:
            yield Finding(
                "W045",
                f"SERVER_NAMES has {name!r}, which TLS_CERTIFICATE {str(certificate)!r} does not"
                " cover, so browsers warn; get a certificate with that name, or remove it.",
            )


def _dates(certificate: Path, seen: dict) -> Iterator[Finding]:
    begins, ends = (ssl.cert_time_to_seconds(seen[name]) for name in ("notBefore", "notAfter"))
    day = time.strftime("%Y-%m-%d", time.gmtime(ends))
    name = f"TLS_CERTIFICATE is {str(certificate)!r}"
    renew = "renew it, see docs/tls.md"
    # Not blocking: an ACME challenge needs a site that is up, and a clock may be set after boot.
    if time.time() > ends:
        yield Finding("E042", f"{name}, which expired on {day}; {renew}.")
    elif time.time() < begins:
        day = time.strftime("%Y-%m-%d", time.gmtime(begins))
        yield Finding(
            "E043",
            f"{name}, which is not valid before {day}; set this machine's clock, or wait.",
        )
    elif (left := (ends - time.time()) / _SECONDS_A_DAY) < _DAYS_LEFT:
        yield Finding("W044", f"{name}, which expires in {left:.0f} days, on {day}; {renew}.")


def _shake_hands(server: ssl.SSLContext, certificate: Path, name: str = "") -> dict:
    """The certificate that a client gets, which trusts only this one, with a server name if given.

    Raises:
        ssl.SSLCertVerificationError: the client rejects it.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _ANY_TIME
    client.check_hostname = bool(name)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name or None)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (here, there, here):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue  # until the other side has sent something
    return here.getpeercert() or {}
