"""Sites with TLS, and the authority that vouches for them."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from tests.conftest import Serve
from tests.servers import Site, free_port

APPS = Path(__file__).with_name("apps")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """An authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a client needs to trust it. Of each test's own, since clients write into it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def pair(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate for the names that sites here have, as the knobs for it."""
    return write_pair(authority, tmp_path_factory.mktemp("pair"))


def write_pair(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """A new certificate for the names that sites here have, as the knobs for it."""
    now = datetime.now(UTC)
    made = authority.issue_cert(
        *("localhost", "site.example", "*.site.example"),
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=89),
    )
    files = {"TLS_CERTIFICATE": folder / "certificate.pem", "TLS_KEY": folder / "key.pem"}
    files["TLS_CERTIFICATE"].write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    files["TLS_KEY"].write_bytes(made.private_key_pem.bytes())
    # nginx is another user in its container, and sees them as they are here.
    for file in files.values():
        file.chmod(0o644)
    return files


def https(site: Site) -> str:
    """The base URL that a site has with TLS."""
    return f"https://localhost:{site.environment['HTTPS_PORT']}"


@pytest.fixture(scope="module")
def secure(shared_site: Serve, pair: dict[str, Path]) -> Site:
    """The sample app and another one behind TLS, for the names that the certificate has."""
    return shared_site(
        "host",
        files=(APPS / "opinionated.py",),
        MOUNTS="/path=yourapplication:app /opinionated=opinionated:app",
        SECRET_KEY="secure",
        WORKERS=1,
        SERVER_NAMES="localhost site.example *.site.example",
        HSTS_SECONDS=300,
        HTTPS_PORT=free_port(),
        **pair,
    )


@pytest.fixture
def client(secure: Site, trusting: ssl.SSLContext) -> Iterator[httpx.Client]:
    """A client of that site, with HTTP/2 and a cookie jar."""
    with httpx.Client(
        base_url=https(secure), verify=trusting, http2=True, trust_env=False, timeout=60
    ) as client:
        yield client
