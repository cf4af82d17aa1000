"""deploy/defaults.env is the one list of knobs: all of it is used, and nothing else is."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.servers import KNOBS, PROJECT

NAME = "[A-Z][A-Z0-9_]+"
# Not for people: what one part of the bundle tells another.
BETWEEN_PARTS = {
    *("LISTEN", "LISTEN_APP", "LISTEN_TLS", "TLS_GROUPS", "HTTPS_PORT_IN_URL", "MOUNT"),
    *("SOCKETS", "INSTANCE", "PYTHON", "STOP_TIMEOUT"),
}
SHELLS_OWN = {"PWD"}

RUN_DIR = "/run/web"  # in a container

COMPOSE = PROJECT / "deploy" / "compose"
SERVICES = (COMPOSE / "services.yml").read_text()
ALL_SERVICES = "".join(file.read_text() for file in COMPOSE.glob("services*.yml"))
# Not defaults: Compose's own name for the image, and one container of what is switched on.
for derived, short in (
    ("${APP_IMAGE:-${COMPOSE_PROJECT_NAME}-app}", "${APP_IMAGE}"),
    ("${NGINX_IMAGE:-${COMPOSE_PROJECT_NAME}-nginx}", "${NGINX_IMAGE}"),
    ("0${PROCESSES:+1}", "${PROCESSES}"),
    ("0${METRICS_PORT:+1}", "${METRICS_PORT}"),
):
    ALL_SERVICES = ALL_SERVICES.replace(derived, short)
NGINX = [
    PROJECT / "nginx" / "start.sh",
    PROJECT / "nginx" / "health.sh",
    *(PROJECT / "nginx").rglob("*.template"),
]
PYTHON = [*(PROJECT / "deploy").rglob("*.py"), *(PROJECT / "yourapplication").rglob("*.py")]


def without_comments(file: Path) -> str:
    """The text of a file whose comments take whole lines, or the ends of them."""
    mark = ";" if file.suffix == ".ini" else "#"
    return re.sub(rf"(^|\s){mark}.*", "", file.read_text(), flags=re.MULTILINE)


@cache
def used_by_nginx() -> set[str]:
    """The variables in nginx's scripts and templates; nginx's own are in small letters."""
    texts = map(without_comments, NGINX)
    return {name for text in texts for name in re.findall(rf"\$\{{?({NAME})", text)} - SHELLS_OWN


@cache
def used_by_uwsgi() -> set[str]:
    """The environment's variables in uwsgi.ini."""
    text = without_comments(PROJECT / "uwsgi.ini")
    in_text = re.findall(rf"\$\(({NAME})\)", text)
    return {*in_text, *re.findall(rf"^if-(?:not-)?env = ({NAME})", text, re.MULTILINE)}


@cache
def used_by_python(*, checked: bool = False) -> set[str]:
    """The knobs that Python names, each in a string of its own; or those that it checks, too."""
    files = [file for file in PYTHON if checked or file.name != "kinds.py"]
    trees = (ast.parse(file.read_text()) for file in files)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant)} & KNOBS.keys()


@cache
def filled_in_by_compose() -> set[str]:
    """The variables that Compose itself puts into the services."""
    return set(re.findall(rf"\$\{{({NAME})\}}", ALL_SERVICES.replace("${NAME}", "")))


@cache
def used_by_certbot() -> set[str]:
    """The variables in the script that its container runs."""
    return set(re.findall(rf"\$\{{?({NAME})", without_comments(COMPOSE / "certbot.sh")))


def given_to(service: str, services: str = SERVICES) -> set[str]:
    """The variables that a container of this service gets."""
    section = re.search(rf"^  {service}:\n((?:   .*\n|\n)+)", services, re.MULTILINE)[1]
    listed = re.search(
        r"^    environment:(?: &environment)?\n((?:      - .*\n)+)", section, re.MULTILINE
    )[1]
    return set(re.findall(rf"- ({NAME})", listed))


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_is_used(knob: str) -> None:
    servers = used_by_nginx() | used_by_uwsgi() | used_by_certbot()
    assert knob in servers | used_by_python() | filled_in_by_compose()


@pytest.mark.parametrize("knob", KNOBS)
def test_every_knob_has_a_reason(knob: str) -> None:
    text = (PROJECT / "deploy" / "defaults.env").read_text()
    # A comment, and then knobs without an empty line between: they share it.
    assert re.search(rf"^# .*\n(?:{NAME}=.*\n)*{knob}=", text, re.MULTILINE)


@pytest.mark.parametrize(
    "used",
    [used_by_nginx, used_by_uwsgi, used_by_certbot, filled_in_by_compose],
    ids=["nginx", "uwsgi", "certbot", "compose"],
)
def test_every_variable_that_is_used_is_a_knob(used) -> None:
    names = used()
    assert names, "this finds nothing any more"
    assert names - BETWEEN_PARTS <= KNOBS.keys()


def test_nginxs_container_is_given_all_that_nginx_uses() -> None:
    assert given_to("nginx") == used_by_nginx() - BETWEEN_PARTS


def test_certbots_container_is_given_all_that_it_uses() -> None:
    assert given_to("certbot", (COMPOSE / "services.acme.yml").read_text()) == used_by_certbot()


def test_the_apps_container_is_given_all_that_python_and_uwsgi_read() -> None:
    # What Compose does with these is all there is to do in a container.
    compose_only = {
        "NGINX_IMAGE",
        "APP_IMAGE",
        "APP_MEMORY",
        "APP_CPUS",
        "NGINX_MEMORY",
        "NGINX_CPUS",
    }
    compose_only |= {"APT_PACKAGES", "APT_BUILD_PACKAGES"}  # arguments of the build
    compose_only |= {"PROCESSES_MEMORY", "PROCESSES_CPUS"}
    compose_only |= {"PROMETHEUS_PORT", "ACME_SERVER", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    read = (used_by_python(checked=True) | used_by_uwsgi()) - BETWEEN_PARTS - compose_only
    assert given_to("app") == read
    assert f"RUN_DIR={RUN_DIR}" in (PROJECT / "Dockerfile").read_text()
    assert f"- RUN_DIR={RUN_DIR} " in SERVICES


def test_no_default_stands_anywhere_else() -> None:
    # The app's own variables are no knobs.
    assert not re.findall(r"\$\{(?!(?:DATABASE|REDIS)_URL)[A-Z_]+:?[-+]", ALL_SERVICES)
    for file in NGINX:
        assert not re.findall(rf"\$\{{{NAME}:?[-=]", without_comments(file)), file.name
