"""Linters for nginx find nothing, whatever is switched on; documents name what there is."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PROJECT, HostSite

# HSTS is a knob that starts empty, since there is no way back from it; the linter wants it on.
TLS = {
    "TLS_CERTIFICATE": "secrets/certificate.pem",
    "TLS_KEY": "secrets/key.pem",
    "HSTS_SECONDS": "300",
}
# With a password file that has to be there, and no more.
DEBUG = {"UWSGI_DEBUG": "1", "DEBUG_ALLOW": "10.0.0.0/8", "DEBUG_PASSWORD_FILE": "uwsgi.ini"}
PRODUCTION = {"ENVIRONMENT": "production", "SECRET_KEY": "a key that only the tests know"}
MODES = {
    "at the root": {"MOUNTS": "/=yourapplication:app /a/b=yourapplication:app"},
    "with names": {"SERVER_NAMES": "example.com *.example.com"},
    "with limits": {"CLIENT_REQUESTS_AT_ONCE": "8", "CLIENT_REQUESTS_PER_SECOND": "50"},
    "behind a proxy": {"TRUSTED_PROXIES": "10.0.0.0/8"},
    "behind the PROXY protocol": {"TRUSTED_PROXIES": "10.0.0.0/8", "PROXY_PROTOCOL": "1"},
    "with TLS": TLS | {"SERVER_NAMES": "example.com"},
    "with TLS for any name": TLS,
    "with the debugger": DEBUG,
    "behind a load balancer": {
        "DRAIN_DELAY": "5",
        "SERVER_NAMES": "example.com",
        "TRUSTED_PROXIES": "10.0.0.254",
    },
    "with metrics": {"METRICS_PORT": "9117"},
    "in production": TLS | PRODUCTION | {"SERVER_NAMES": "example.com"},
}


@pytest.fixture(scope="module")
def bundle() -> Iterator[HostSite]:
    """A copy of the bundle with a certificate, which is not started."""
    site = HostSite()
    try:
        subprocess.run(
            [sys.executable, "-m", "deploy", "certificate"],
            cwd=site.folder,
            env=site.environment,
            check=True,
            capture_output=True,
        )
        yield site
    finally:
        site.clean_up()


def gixy(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("gixy")
    return subprocess.run(
        [program, "--config", PROJECT / ".gixy.cfg", "nginx/nginx.conf"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_linter_finds_nothing_in_nginxs_configuration(bundle: HostSite, mode: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "deploy", "render", "rendered"],
        cwd=bundle.folder,
        env=bundle.environment | MODES[mode],
        check=True,
        capture_output=True,
    )
    done = gixy(bundle.folder / "rendered")
    assert done.returncode == 0, done.stdout
    assert "Low: 0" in done.stdout


def test_the_linter_does_find_something(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx" / "nginx.conf").write_text(
        "http { server { location /a { alias /srv/a/; add_header X $uri; return 302 $uri; } } }"
    )
    assert gixy(tmp_path).returncode != 0


@pytest.mark.parametrize("name", sorted(file.name for file in (PROJECT / "docs").glob("*.md")))
def test_whatever_file_a_document_names_is_there(name: str) -> None:
    text = (PROJECT / "docs" / name).read_text()
    linked = {PROJECT / "docs" / path for path in re.findall(r"\]\(([^):#]+)[#)]", text)}
    named = {PROJECT / path for path in re.findall(r"`((?:tests|nginx|deploy)/[\w./-]+)`", text)}
    assert not [path for path in linked | named if not path.exists()]
