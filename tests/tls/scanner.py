"""A scanner that judges TLS by Mozilla's profiles."""

import pytest
from sslyze import (
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
    ServerScanResult,
)
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationAsJson,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

# The scanner does not know the tests' authority.
UNKNOWN = {"certificate_path_validation"}
# Its own list of authorities has an odd one in it.
odd_authority = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def scan(port: int) -> ServerScanResult:
    """What it finds out about a server of this machine."""
    scanner = Scanner()
    where = ServerNetworkLocation("localhost", port, ip_address="127.0.0.1")
    how = ServerNetworkConfiguration("localhost", network_timeout=60)
    scanner.queue_scans([ServerScanRequest(where, how)])
    (result,) = scanner.get_results()
    return result


def intermediate() -> TlsConfigurationAsJson:
    """Mozilla's intermediate profile in its version 6.0."""
    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    # The scanner has 5.7. What 6.0 did was to end these.
    profile.ciphers.iana = {name for name in profile.ciphers.iana if "_DHE_" not in name}
    return profile


def differences(found: ServerScanResult, profile: TlsConfigurationAsJson) -> set[str]:
    """In what a server is not as a profile says."""
    try:
        check_server_against_tls_configuration(found, profile)
    except ServerNotCompliantWithTlsConfiguration as error:
        return set(error.issues)
    return set()
