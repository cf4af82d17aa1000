"""The bill of materials says what is in the images: all of it, in the versions that it has."""

import json
import subprocess
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.servers import PROJECT

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]

PACKAGES = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n"]
DISTRIBUTIONS = """
from importlib.metadata import distributions
for found in distributions(): print(found.name, found.version)
"""


@pytest.fixture(scope="module", params=["app", "nginx"])
def made(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The id of an image, and its bill of materials as `make sbom` writes it."""
    subprocess.run(["make", "--silent", "sbom"], cwd=PROJECT, check=True, capture_output=True)
    build = ["docker", "build", "--quiet", "--target", request.param, "."]
    built = subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, text=True)
    bill = (PROJECT / ".run" / "sbom" / f"{request.param}.cdx.json").read_text()
    return built.stdout.strip(), json.loads(bill)


def said_in(image: str, *command: str) -> set[tuple[str, str]]:
    """Names and versions, as a program in the image lists them."""
    run = ["docker", "run", "--rm", "--network", "none", image, *command]
    listed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    return {tuple(line.split()) for line in listed.splitlines()}


def listed(bill: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    """Names and versions of what is installed, without the sources that it was built from."""
    found = [c for c in bill["components"] if c.get("purl", "").startswith(f"pkg:{kind}/")]
    return {(c["name"], c["version"]) for c in found if "arch=source" not in c["purl"]}


def test_it_follows_the_standard(made: tuple[str, dict[str, Any]]) -> None:
    _, bill = made
    schema = SchemaVersion.from_version(bill["specVersion"])
    assert JsonStrictValidator(schema).validate_str(json.dumps(bill)) is None


def test_it_has_every_debian_package(made: tuple[str, dict[str, Any]]) -> None:
    image, bill = made
    found = listed(bill, "deb")
    assert found == said_in(image, *PACKAGES)
    names = {name for name, _ in found}
    expected = {"nginx", "openssl"} if bill["metadata"]["component"]["name"] == "nginx" else set()
    assert expected | {"libc6"} <= names
    sources = {c["name"] for c in bill["components"] if "arch=source" in c.get("purl", "")}
    assert "glibc" in sources, "advisories name these"


def test_it_has_every_python_package_and_python(made: tuple[str, dict[str, Any]]) -> None:
    image, bill = made
    if bill["metadata"]["component"]["name"] == "nginx":
        assert not listed(bill, "pypi")
        return
    found = listed(bill, "pypi")
    assert found == said_in(image, "python", "-c", DISTRIBUTIONS)
    assert {"Flask", "uWSGI"} <= {name for name, _ in found}
    version = "import platform; print('python', platform.python_version())"
    assert listed(bill, "generic") == said_in(image, "python", "-c", version)
