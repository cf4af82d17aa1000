"""The certificate, as a visitor finds it: a handshake in memory, for each name that is served."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.checks.finding import Finding, error, warning

# Let's Encrypt's are renewed when 30 days are left. With fewer than this, renewing does not work.
_DAYS_LEFT = 14
_SECONDS_A_DAY = 86_400
# X509_V_FLAG_NO_CHECK_TIME in openssl/x509_vfy.h: we look at the time ourselves, to say it.
_ANY_TIME = 0x200000


def look(certificate: Path, key: Path, names: list[str]) -> Iterator[Finding]:
    """Whether a pair fits together, is valid now, and covers these names.

    Args:
        certificate: TLS_CERTIFICATE.
        key: TLS_KEY.
        names: SERVER_NAMES.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a passphrase, as nginx reads it. OpenSSL would ask for one on the terminal.
        server.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as problem:
        why = (problem.reason or str(problem)).lower().replace("_", " ")
        yield error(
            f"TLS_KEY is {str(key)!r}, which cannot be used with TLS_CERTIFICATE"
            f" {str(certificate)!r} ({why}); give the two of one pair, in PEM, without passphrase."
        )
        return

    try:
        seen = _shake_hands(server, certificate)
    except ssl.SSLError as problem:
        yield error(
            f"TLS_CERTIFICATE is {str(certificate)!r}, which browsers do not take"
            f" ({getattr(problem, 'verify_message', problem)}); get another one, see docs/tls.md."
        )
        return
    yield from _dates(certificate, seen)
    for name in names:
        try:
            # One name that *.example.com stands for, since nobody asks for the star.
            _shake_hands(server, certificate, name.replace("*", "any", 1).strip("[]"))
        except ssl.SSLCertVerificationError:
            yield warning(
                f"SERVER_NAMES has {name!r}, which TLS_CERTIFICATE {str(certificate)!r} does not"
                " cover, so browsers warn of it; get a certificate with that name, or take it out."
            )


def _dates(certificate: Path, seen: dict) -> Iterator[Finding]:
    begins, ends = (ssl.cert_time_to_seconds(seen[name]) for name in ("notBefore", "notAfter"))
    day = time.strftime("%Y-%m-%d", time.gmtime(ends))
    name = f"TLS_CERTIFICATE is {str(certificate)!r}"
    renew = "renew it, see docs/tls.md"
    # Neither bars a start: an authority asks the site that is up, and clocks are set after boot.
    if time.time() > ends:
        yield error(f"{name}, which expired on {day}; {renew}.", bars=False)
    elif time.time() < begins:
        day = time.strftime("%Y-%m-%d", time.gmtime(begins))
        yield error(
            f"{name}, which is not valid before {day}; set this machine's clock, or wait.",
            bars=False,
        )
    elif (left := (ends - time.time()) / _SECONDS_A_DAY) < _DAYS_LEFT:
        yield warning(f"{name}, which expires in {left:.0f} days, on {day}; {renew}.")


def _shake_hands(server: ssl.SSLContext, certificate: Path, name: str = "") -> dict:
    """What a client is shown, who trusts just this certificate, and asks for a name if given.

    Raises:
        ssl.SSLCertVerificationError: the client does not take it.
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
            continue  # until the other side has said something
    return here.getpeercert() or {}
