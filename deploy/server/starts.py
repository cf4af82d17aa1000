"""The checks of each start and each rollout: those that find errors."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from deploy.problems import Finding, Refusal, Severity
from deploy.server import (
    app_findings,
    data_dir,
    packages,
    release_step,
    run_dir,
    tls_files,
    uwsgi_ini,
)
from deploy.settings import findings as settings_findings
from deploy.settings import knobs as knobs_module
from deploy.settings.knobs import Knobs


def before_serving(knobs: Knobs) -> Iterator[Finding]:
    """The checks of `serve` and its rollouts. nginx tests its configuration itself."""
    yield from before_the_app(knobs)
    yield from packages.look(knobs)
    yield from tls_files.look(knobs)
    yield from run_dir.look(knobs)


def before_the_app(knobs: Knobs) -> Iterator[Finding]:
    """The checks of the app's container."""
    yield from settings_findings.look(knobs)
    yield from uwsgi_ini.look(knobs)
    yield from data_dir.look(knobs)


def abort_on_errors(findings: Iterable[Finding], report: Callable[[str], None]) -> None:
    """End a start or a rollout at the first blocking error.

    Args:
        findings: of its checks.
        report: called with the message of each other error, and of each line of the Procfile that
            is not run, unless that is ignored.

    Raises:
        Refusal: there is a blocking error.
    """
    ignored_ids = knobs_module.check_ignore()
    for found in findings:
        if found.blocking:
            raise Refusal(found.message)
        reported = found.severity is Severity.ERROR or found.id == "W011"
        if reported and found.id not in ignored_ids:
            report(found.message)


def report(message: str) -> None:
    """Print a message to standard error."""
    print(f"deploy: {message}", file=sys.stderr)


def print_findings(*, load: bool) -> int:
    """Print the findings of the app's container, as one JSON object a line, and ``release_step``.

    Args:
        load: whether to load the apps, too.

    Returns:
        The exit status, 0.
    """

    def found() -> Iterator[Finding]:
        try:
            here = knobs_module.read()
        except Refusal as refusal:
            yield Finding("E001", str(refusal))
            return
        print(json.dumps({"release_step": release_step.exists(here)}))
        yield from before_the_app(here)
        try:
            yield from run_dir.sockets(here)
        except Refusal as refusal:
            yield Finding("E072", str(refusal))
        yield from run_dir.room(here, with_nginx=False)
        if load:
            yield from app_findings.look(here)

    for finding in found():
        print(json.dumps(asdict(finding)))
    return 0
