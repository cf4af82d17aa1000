"""``python -m deploy check``: errors and warnings, each with its fix.

Each check is beside what it checks. Those that find errors run before each start and each rollout,
too: see ``deploy/server/starts.py``.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from deploy.commands import images
from deploy.problems import Finding, NotCheckedError, Refusal, Severity
from deploy.release import containers, control
from deploy.server import (
    app_findings,
    data_dir,
    nginx_findings,
    packages,
    run_dir,
    tls_files,
    uwsgi_ini,
)
from deploy.settings import environment, secret_files
from deploy.settings import findings as settings_findings
from deploy.settings import knobs as knobs_module
from deploy.settings.knobs import PROJECT, Knobs

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
    found, served_here = None, False
    if (environment.prefix() / "bin" / "uwsgi").exists():
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
    # With containers, the packages of the apps may be missing on the host.
    if found and (served_here or not containers.exist()):
        yield "apps", "E090", lambda: _apps(found, findings)
    if not served_here:
        yield "containers", "E100", containers.look


def _of_this_machine(knobs: Knobs) -> Iterator[_Subject]:
    yield "settings", "E001", lambda: settings_findings.look(knobs)
    yield "uwsgi.ini", "E001", lambda: uwsgi_ini.look(knobs)
    if knobs.app_dir == PROJECT and (PROJECT / ".git").exists():
        yield ".dockerignore", "E001", lambda: images.look(PROJECT)
    if knobs.tls:
        yield "certificate", "E001", lambda: tls_files.look(knobs)
    if knobs.environment["APT_PACKAGES"]:
        yield "packages", "E001", lambda: packages.look(knobs)
    yield "nginx", "E050", lambda: _nginx(knobs)
    yield "secret files", "E001", lambda: _secret_files(knobs)
    yield "RUN_DIR", "E070", lambda: run_dir.look(knobs)
    yield "sockets", "E072", lambda: run_dir.sockets(knobs)
    yield "DATA_DIR", "E080", lambda: data_dir.look(knobs)
    yield "disk", "E001", lambda: run_dir.room(knobs, with_nginx=True)


def _apps(knobs: Knobs, findings: Iterable[Finding]) -> Iterator[Finding]:
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise NotCheckedError("fix the errors first")
    yield from app_findings.look(knobs)


def _nginx(knobs: Knobs) -> Iterator[Finding]:
    if any(found.blocking for found in tls_files.look(knobs)):
        raise NotCheckedError("fix its certificate first")
    yield from nginx_findings.look(knobs)


def _secret_files(knobs: Knobs) -> Iterator[Finding]:
    names = "SECRET_KEY_FILE", "TLS_KEY"
    yield from secret_files.look({name: Path(knobs.given[name]) for name in names})
    yield from secret_files.look_into_env(PROJECT / ".env")
