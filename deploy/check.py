"""``python -m deploy check``: errors and warnings, each with its fix.

The checks are in ``deploy/checks``. Each start and each rollout runs those that find errors, too.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import knobs as knobs_module
from deploy.checks.finding import Finding, NotCheckedError, Severity
from deploy.knobs import PROJECT
from deploy.refusal import Refusal

if TYPE_CHECKING:
    from deploy.knobs import Knobs

# A subject, the id of the finding that it raises as an exception, and its check.
_Subject = tuple[str, str, Callable[[], Iterable[Finding]]]


def run(*, strict: bool, output: str) -> int:
    """Run all checks and print what they find.

    Args:
        strict: whether warnings affect the exit status.
        output: `text` or `json`.

    Returns:
        The exit status: 2 for errors, 1 for warnings if ``strict``, else 0.
    """
    findings: list[Finding] = []
    checked: list[str] = []
    not_checked: dict[str, str] = {}
    try:
        ignored_ids = knobs_module.check_ignore()
    except Refusal as refusal:
        ignored_ids = frozenset()
        findings.append(Finding("E001", str(refusal)))
    for subject, kind, check in _subjects(findings):
        try:
            for finding in check():
                findings.append(finding)  # one by one, to keep those before an exception
            checked.append(subject)
        except NotCheckedError as reason:
            not_checked[subject] = str(reason)
        except Refusal as refusal:
            findings.append(Finding(kind, str(refusal)))
            checked.append(subject)
    # Two subjects can have the same finding, such as the certificate here and in the containers.
    unique = sorted(set(findings), key=lambda found: (found.severity, found.id, found.message))
    shown = [found for found in unique if found.id not in ignored_ids]
    ignored = sorted({found.id for found in unique} & ignored_ids)
    if output == "json":
        print(_as_json(shown, ignored, checked, not_checked))
    else:
        print(_as_text(shown, ignored, checked, not_checked))
    severities = {found.severity for found in shown}
    if Severity.ERROR in severities:
        return 2
    return 1 if strict and severities else 0


def _as_text(
    findings: list[Finding], ignored: list[str], checked: list[str], not_checked: dict[str, str]
) -> str:
    lines = [f"{found.severity:8} {found.id}  {found.message}" for found in findings]
    summary = f"Checked: {', '.join(checked)}."
    if not_checked:
        reasons = (f"{subject} ({reason})" for subject, reason in not_checked.items())
        summary += f" Not checked: {', '.join(reasons)}."
    if ignored:
        summary += f" Ignored: {', '.join(ignored)}."
    return "\n".join([*lines, summary if lines else f"No problems found. {summary}"])


def _as_json(
    findings: list[Finding], ignored: list[str], checked: list[str], not_checked: dict[str, str]
) -> str:
    found = [
        {"severity": found.severity, "blocking": found.blocking} | asdict(found)
        for found in findings
    ]
    report = {"findings": found, "ignored": ignored, "checked": checked, "not_checked": not_checked}
    return json.dumps(report, indent=2)


def _subjects(findings: Iterable[Finding]) -> Iterator[_Subject]:
    """The subjects that exist here, in order of their dependencies.

    Args:
        findings: of the previous subjects.
    """
    from deploy import control

    found, served_here = None, False
    if find_spec("flask"):  # `serve` needs the packages
        try:
            found = knobs_module.read()
        except Refusal as refusal:
            error = Finding("E001", str(refusal))
            yield "settings", "E001", lambda: [error]
            return  # all other subjects need them
        yield from _of_this_machine(found)
        try:
            served_here = control.is_up(found.run_dir)
        except Refusal:
            served_here = True  # by another user
    from deploy.checks import containers

    # With containers, the packages of the apps may be missing on the host.
    if found and (served_here or not containers.exist()):
        yield "apps", "E090", lambda: _apps(found, findings)
    if not served_here:
        yield "containers", "E100", containers.look


def _of_this_machine(knobs: "Knobs") -> Iterator[_Subject]:
    from deploy.checks import data, images, places, settings, uwsgi_ini

    yield "settings", "E001", lambda: settings.look(knobs)
    yield "uwsgi.ini", "E001", lambda: uwsgi_ini.look(knobs)
    if (PROJECT / ".git").exists():
        yield ".dockerignore", "E001", lambda: images.look(PROJECT)
    if knobs.tls:
        yield "certificate", "E001", lambda: _certificate(knobs)
    yield "nginx", "E050", lambda: _nginx(knobs)
    yield "secret files", "E001", lambda: _secret_files(knobs)
    yield "RUN_DIR", "E070", lambda: places.run_dir(knobs)
    yield "sockets", "E072", lambda: places.sockets(knobs)
    yield "DATA_DIR", "E080", lambda: data.look(knobs)
    yield "disk", "E001", lambda: places.room(knobs, with_nginx=True)


def before_serving(knobs: "Knobs") -> Iterator[Finding]:
    """The checks of `serve` and its rollouts. nginx tests its configuration itself."""
    from deploy.checks import places

    yield from before_the_app(knobs)
    yield from _certificate(knobs)
    yield from places.run_dir(knobs)


def before_the_app(knobs: "Knobs") -> Iterator[Finding]:
    """The checks of the app's container."""
    from deploy.checks import data, settings, uwsgi_ini

    yield from settings.look(knobs)
    yield from uwsgi_ini.look(knobs)
    yield from data.look(knobs)


def abort_on_errors(findings: Iterable[Finding], report: Callable[[str], None]) -> None:
    """End a start or a rollout at the first blocking error.

    Args:
        findings: of its checks.
        report: called with the message of each other error, unless that is ignored.

    Raises:
        Refusal: there is a blocking error.
    """
    ignored_ids = knobs_module.check_ignore()
    for found in findings:
        if found.blocking:
            raise Refusal(found.message)
        if found.severity is Severity.ERROR and found.id not in ignored_ids:
            report(found.message)


def report(message: str) -> None:
    """Print a message to standard error."""
    print(f"deploy: {message}", file=sys.stderr)


def print_findings(*, load: bool) -> int:
    """Print the findings of the app's container, as one JSON object a line.

    Args:
        load: whether to load the apps, too.

    Returns:
        The exit status, 0.
    """
    from deploy.checks import apps, places

    def found() -> Iterator[Finding]:
        try:
            here = knobs_module.read()
        except Refusal as refusal:
            yield Finding("E001", str(refusal))
            return
        yield from before_the_app(here)
        try:
            yield from places.sockets(here)
        except Refusal as refusal:
            yield Finding("E072", str(refusal))
        yield from places.room(here, with_nginx=False)
        if load:
            yield from apps.look(here)

    for finding in found():
        print(json.dumps(asdict(finding)))
    return 0


def _certificate(knobs: "Knobs") -> Iterator[Finding]:
    from deploy import nginx
    from deploy.checks import certificate

    if not knobs.tls:
        return
    try:
        pair = nginx.pair(knobs)
    except Refusal as refusal:
        yield Finding("E040", str(refusal))
        return
    yield from certificate.look(*pair, knobs.server_names)


def _apps(knobs: "Knobs", findings: Iterable[Finding]) -> Iterator[Finding]:
    from deploy.checks import apps

    if any(finding.severity is Severity.ERROR for finding in findings):
        raise NotCheckedError("fix the errors first")
    yield from apps.look(knobs)


def _nginx(knobs: "Knobs") -> Iterator[Finding]:
    from deploy.checks import front

    if any(found.blocking for found in _certificate(knobs)):
        raise NotCheckedError("fix its certificate first")
    yield from front.look(knobs)


def _secret_files(knobs: "Knobs") -> Iterator[Finding]:
    from deploy.checks import secret_files

    names = "SECRET_KEY_FILE", "TLS_KEY"
    yield from secret_files.look({name: Path(knobs.given[name]) for name in names})
    yield from secret_files.look_into_env(PROJECT / ".env")
