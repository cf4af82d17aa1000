"""What is wrong or unwise here, and how to mend it: ``python -m deploy check``.

What is looked at is in ``deploy/checks``. Its errors are looked for before each start, too.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.checks.finding import Finding, Severity, UnseenError, error
from deploy.refusal import Refusal

if TYPE_CHECKING:
    from deploy.knobs import Knobs


def run(*, strict: bool) -> int:
    """Look at everything, and tell people on one screen.

    Args:
        strict: whether warnings count.

    Returns:
        The exit status: 2 with an error, 1 with a warning if they count, else 0.
    """
    findings: list[Finding] = []
    seen: list[str] = []
    unseen: list[str] = []
    for subject, look in _subjects(findings):
        try:
            for finding in look():
                findings.append(finding)  # one by one: those before an exception count
            seen.append(subject)
        except UnseenError as reason:
            unseen.append(f"{subject} ({reason})")
        except Refusal as refusal:
            findings.append(error(str(refusal)))
            seen.append(subject)
    # Several subjects can find the same, such as the certificate, here and for the containers.
    findings = sorted(set(findings), key=lambda found: (found.severity, found.sentence))
    for found in findings:
        print(f"{found.severity:8} {found.sentence}")
    looked = f"Looked at: {', '.join(seen)}."
    if unseen:
        looked += f" Not at: {', '.join(unseen)}."
    print(looked if findings else f"All is well. {looked}")
    severities = {found.severity for found in findings}
    if Severity.ERROR in severities:
        return 2
    return 1 if strict and severities else 0


def _subjects(
    findings: Iterable[Finding],
) -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    """All there is to look at here, in an order in which one may rely on those before.

    Args:
        findings: of the subjects before.
    """
    from deploy import control, knobs

    found, served_here = None, False
    if find_spec("flask"):  # without its packages, nothing is served on this machine by `serve`
        try:
            found = knobs.read()
        except Refusal as refusal:
            sentence = str(refusal)
            yield "settings", lambda: [error(sentence)]
            return  # the rest depends on them
        yield from _of_this_machine(found)
        try:
            served_here = control.answers(found.run_dir)
        except Refusal:
            served_here = True  # by another user
    from deploy.checks import containers

    # Where it runs in containers, the apps may lack on this machine what they need.
    if found and (served_here or not containers.exist()):
        yield "apps", lambda: _apps(found, findings)
    if not served_here:
        yield "containers", containers.look


def _of_this_machine(knobs: "Knobs") -> Iterator[tuple[str, Callable[[], Iterable[Finding]]]]:
    from deploy.checks import data, images, places, settings, uwsgi_ini
    from deploy.knobs import PROJECT

    yield "settings", lambda: settings.look(knobs)
    yield "uwsgi.ini", lambda: uwsgi_ini.look(knobs)
    if (PROJECT / ".git").exists():
        yield ".dockerignore", lambda: images.look(PROJECT)
    if knobs.tls:
        yield "certificate", lambda: _certificate(knobs)
    yield "nginx", lambda: _nginx(knobs)
    yield "secret files", lambda: _secret_files(knobs)
    yield "RUN_DIR", lambda: (*places.run_dir(knobs), *places.sockets(knobs))
    yield "DATA_DIR", lambda: data.look(knobs)
    yield "disk", lambda: places.room(knobs, with_nginx=True)


def before_serving(knobs: "Knobs") -> Iterator[Finding]:
    """What `serve` and its rollouts look at first. nginx tests its configuration on its own."""
    from deploy.checks import places

    yield from before_the_app(knobs)
    yield from _certificate(knobs)
    yield from places.run_dir(knobs)


def before_the_app(knobs: "Knobs") -> Iterator[Finding]:
    """What the app's container looks at first."""
    from deploy.checks import data, settings, uwsgi_ini

    yield from settings.look(knobs)
    yield from uwsgi_ini.look(knobs)
    yield from data.look(knobs)


def refuse(findings: Iterable[Finding], say: Callable[[str], None]) -> None:
    """Start nothing while there is an error that bars it.

    Args:
        findings: what was found.
        say: tells people of an error that does not.

    Raises:
        Refusal: the first one that does.
    """
    for found in findings:
        if found.bars:
            raise Refusal(found.sentence)
        if found.severity is Severity.ERROR:
            say(found.sentence)


def complain(sentence: str) -> None:
    """Say it on standard error, as a refusal is said."""
    print(f"deploy: {sentence}", file=sys.stderr)


def show_the_apps(*, load: bool) -> int:
    """Print what is found in the app's container as JSON, one a line; 0 as exit status.

    Args:
        load: whether to load the apps, too.
    """
    from deploy import knobs
    from deploy.checks import apps, places

    def found() -> Iterator[Finding]:
        try:
            here = knobs.read()
            yield from before_the_app(here)
            yield from places.sockets(here)
            yield from places.room(here, with_nginx=False)
            if load:
                yield from apps.look(here)
        except Refusal as refusal:
            yield error(str(refusal))

    for finding in found():
        print(json.dumps(asdict(finding)))
    return 0


def _certificate(knobs: "Knobs") -> Iterator[Finding]:
    from deploy import nginx
    from deploy.checks import certificate

    if knobs.tls:
        yield from certificate.look(*nginx.pair(knobs), knobs.server_names)


def _apps(knobs: "Knobs", findings: Iterable[Finding]) -> Iterator[Finding]:
    from deploy.checks import apps

    if any(finding.severity is Severity.ERROR for finding in findings):
        raise UnseenError("not before the errors are fixed")
    yield from apps.look(knobs)


def _nginx(knobs: "Knobs") -> Iterator[Finding]:
    from deploy.checks import front

    if any(found.bars for found in _certificate(knobs)):
        raise UnseenError("not before its certificate is mended")
    yield from front.look(knobs)


def _secret_files(knobs: "Knobs") -> Iterator[Finding]:
    from deploy.checks import secret_files
    from deploy.knobs import PROJECT

    names = "SECRET_KEY_FILE", "TLS_KEY"
    yield from secret_files.look({name: Path(knobs.given[name]) for name in names})
    yield from secret_files.look_into_env(PROJECT / ".env")
