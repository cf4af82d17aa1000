"""The documents name tests and settings that exist."""

import re

import pytest

from deploy.settings import reference
from deploy.settings.kinds import KINDS
from tests.servers import KNOBS, PROJECT

NAMED = sorted(
    set(re.findall(r"tests/[\w/]+\.py(?:::\w+)?", (PROJECT / "docs/security.md").read_text()))
)


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_proves_a_mitigation_exists(name: str) -> None:
    file, _, function = name.partition("::")
    source = (PROJECT / file).read_text()
    assert not function or f"\ndef {function}(" in source


def test_every_threat_has_a_mitigation_and_a_test() -> None:
    lines = (PROJECT / "docs" / "security.md").read_text().splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "threat"]
    assert len(rows) > 20
    for threat, mitigation, test, _ in rows:
        assert mitigation.strip(), threat
        assert "tests/" in test or "make lint" in test, threat


def test_migrating_names_settings_that_exist() -> None:
    lines = (PROJECT / "docs" / "migrating.md").read_text().splitlines()
    here = [line.strip("| ").split(" | ")[-1] for line in lines if line.startswith("| ")]
    named = {name for cell in here for name in re.findall(r"`([A-Z][A-Z_]+)(?:=[^`]*)?`", cell)}
    assert len(named) > 10
    assert named <= KNOBS.keys()


def test_every_setting_has_a_kind_in_the_order_of_the_list() -> None:
    assert list(KINDS) == list(KNOBS)


def test_the_page_of_settings_is_current() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    assert page == reference.page(), "type: make settings"
