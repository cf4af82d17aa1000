from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Serve
from tests.hostile import secrecy
from tests.hostile.recipe import Recipe
from tests.hostile.sizes import PROBE
from tests.servers import ComposeSite, HostSite, Site


@pytest.fixture
def site(kind: str, shared_site: Serve) -> Site:
    """The probe at /path, with limits that are quick to reach. Do not break it."""
    return shared_site(kind, files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")


@pytest.fixture
def host_site(shared_site: Serve) -> Site:
    """The same, straight on this machine."""
    return shared_site("host", files=(PROBE,), MOUNTS="/path=probe:app", MAX_BODY_SIZE="1m")


@pytest.fixture(scope="session")
def recipe() -> Iterator[Recipe]:
    with Recipe(PROBE) as started:
        yield started


# --- HOSTILE_DEBUGGER=1 pytest tests/hostile: the whole suite with the debugger on ---


SEARCHED: Counter[str] = Counter()


@pytest.fixture(scope="session", autouse=True)
def _with_debugger() -> Iterator[None]:
    """Every site has the debugger on and is told secrets. None is in a log of any."""
    if not secrecy.WITH_DEBUGGER:
        yield
        return
    found: list[str] = []

    def watch(kind: type[Site], patch: pytest.MonkeyPatch) -> None:
        set_up, start, clean_up = kind.__init__, kind.start, kind.clean_up

        def set_up_with_debugger(site: Site, *args: Any, **options: Any) -> None:
            set_up(site, *args, **secrecy.DEBUGGER_SETTINGS | options)

        def start_and_tell(site: Site) -> None:
            start(site)
            secrecy.tell(site)

        def search_and_clean_up(site: Site) -> None:
            log = site.logs()
            SEARCHED.update(sites=1, lines=log.count("\n"))
            found.extend(secrecy.leaks(log))
            clean_up(site)

        patch.setattr(kind, "__init__", set_up_with_debugger)
        patch.setattr(kind, "start", start_and_tell)
        patch.setattr(kind, "clean_up", search_and_clean_up)

    with pytest.MonkeyPatch.context() as patch:
        for kind in (HostSite, ComposeSite):
            watch(kind, patch)
        yield
    assert found == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was searched."""
    if secrecy.WITH_DEBUGGER:
        terminalreporter.write_line(
            "Searched for secrets: {lines} lines of {sites} sites.".format_map(SEARCHED)
        )
