"""Static files that nginx serves: those that an app's own static routes send to any client.

A file is published if Flask routes its URL to Flask's own static view, and if the app responds with
that file to an anonymous client. The app serves all others, since nginx passes each request for a
file that is not published to it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.problems import Refusal
from deploy.server import static
from deploy.settings import mounts
from deploy.settings.knobs import PROJECT
from deploy.settings.mounts import Mount

try:
    import flask
    from flask import Blueprint, Flask
    from werkzeug.exceptions import HTTPException
    from werkzeug.test import Client

    _FLASK = Path(flask.__file__).parent
except ImportError:  # no app is one of Flask's
    Flask = None

# An address for documentation (RFC 5737): those of this machine may have more rights.
_ANONYMOUS = {"REMOTE_ADDR": "192.0.2.1"}
_DATABASE = b"SQLite format 3\0"


@dataclass(frozen=True)
class _Route:
    """A static route of an app, or of one of its blueprints.

    Args:
        owner: which of the two.
        folder: its static folder.
        rule: the URL below the mount, up to the file's name; empty if it depends on the request.
        endpoint: its name in Flask's routing.
        plain: whether Flask's own function is behind it, on every host.
    """

    owner: Flask | Blueprint
    folder: Path
    rule: str
    endpoint: str
    plain: bool


@dataclass
class Tree:
    """Contents of nginx's document root.

    Args:
        files: the source of each file, by its path.
        closed: directories in which nginx responds with 404 to every dotfile.
        hidden: dotfiles to which nginx responds with 404, where a view may have such a name, too.
    """

    files: dict[str, str] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


def publish(
    apps: Iterable[tuple[Mount, object]], environment: Mapping[str, str], *, lay_out: bool = True
) -> list[str]:
    """Publish the static files of all apps.

    The apps get requests for this: what they open on the first request is open afterwards.

    Args:
        apps: the mounts and their apps. Only Flask apps have static files to publish.
        environment: the settings, as they were before an app could change them. STATIC_OF says that
            this is a container's own start, or for a release that is no longer live.
        lay_out: whether to write files, or only to check.

    Returns:
        A sentence for each group of files that the app serves itself.

    Raises:
        Refusal: a static folder would make code, data or configuration public.
    """
    tree, reports = Tree(), []
    found = list(apps)
    for mount, app in found:
        if Flask and isinstance(app, Flask):
            reports += _check(tree, app, mount, [other for other, _ in found], environment)
    run_dir = Path(environment["RUN_DIR"])
    if lay_out and environment.get("STATIC_OF") == "previous":
        static.lay_out_previous(tree.files, run_dir)
    elif lay_out:
        static.lay_out(tree.files, tree.closed, tree.hidden, run_dir)
        if environment.get("STATIC_OF") == "container":
            static.write_list(tree.files, tree.closed, tree.hidden)
    return reports


def _check(
    tree: Tree,
    app: Flask,
    mount: Mount,
    all_mounts: list[Mount],
    environment: Mapping[str, str],
) -> Iterator[str]:
    not_public = list(_not_public(app, environment))
    for route in _routes(app):
        _reject_exposed(mount, route, not_public)
        if not route.rule:
            _reject_dotfiles(mount, route)
            continue
        url = f"{mount.prefix}{route.rule}"
        for directory in static.directories(route.folder):
            below = f"{url}{directory.relative_to(route.folder)}/".replace("/./", "/")
            if below != f"{mount.prefix}/":  # there, such a name may be a view's
                tree.closed.append(below.strip("/"))
        if route.rule == "/":
            tree.hidden += [f"{url}{n}".strip("/") for n in static.dotfiles(route.folder)]
        if environment["PUBLISH_STATIC_FILES"] != "1" or not route.plain:
            continue
        if _changes_while_it_runs(app, route.folder, environment):
            continue
        status: dict[tuple[Path, str], str] = {}
        reported = False
        for file in _matched(app, route):
            name = file.relative_to(route.folder)
            if mounts.of(f"{url}{name}", all_mounts) != mount:
                continue
            # One file of each suffix in each directory: guards depend on these.
            kind = name.parent, name.suffix
            if kind not in status:
                status[kind] = _response(app, mount, f"{route.rule}{name}", file, environment)
                if status[kind] != "the file" and not reported:
                    reported = True
                    yield (
                        f"{mount.target} responds with {status[kind]} to {url}{name} without a"
                        " login, so nginx does not serve it and files like it: the app does."
                    )
            if status[kind] == "the file":
                tree.files[f"{url}{name}".strip("/")] = str(file.absolute())


def _routes(app: Flask) -> Iterator[_Route]:
    for rule in app.url_map.iter_rules():
        name, _, endpoint = rule.endpoint.rpartition(".")
        prefix, found, rest = rule.rule.partition("<path:filename>")
        owner = app.blueprints.get(name) if name else app
        if endpoint != "static" or not found or rest or not owner or not owner.static_folder:
            continue
        anywhere = not (rule.host or rule.subdomain or app.subdomain_matching)
        views = app.view_functions[rule.endpoint], owner.send_static_file
        yield _Route(
            owner=owner,
            folder=Path(owner.static_folder),
            rule="" if "<" in prefix else prefix,
            endpoint=rule.endpoint,
            plain=anywhere and all(map(_is_flasks_own, views)),
        )


def _is_flasks_own(view: object) -> bool:
    code = getattr(view, "__code__", None)  # not __module__, which decorators copy
    return bool(code) and Path(code.co_filename).is_relative_to(_FLASK)


def _matched(app: Flask, route: _Route) -> Iterator[Path]:
    """The files whose URL matches this route, and not a view or a redirect."""
    adapter = app.url_map.bind("localhost")
    for file in static.public_files(route.folder):
        name = str(file.relative_to(route.folder))
        with contextlib.suppress(HTTPException):
            if adapter.match(f"{route.rule}{name}", "GET") == (route.endpoint, {"filename": name}):
                yield file


def _response(
    app: Flask, mount: Mount, path: str, file: Path, environment: Mapping[str, str]
) -> str:
    """The app's response to an anonymous client: a status, or "the file"."""
    https = environment["TLS_CERTIFICATE"] != "/dev/null" or (
        environment["ENVIRONMENT"] == "production"
    )
    names = [app.config["SERVER_NAME"], *(app.config.get("TRUSTED_HOSTS") or ())]
    names += environment["SERVER_NAMES"].split()
    host = next((name.lstrip("*.") for name in names if name), "localhost")
    base_url = f"{'https' if https else 'http'}://{host}{mount.prefix}/"
    try:
        with Client(app).get(path, base_url, environ_overrides=_ANONYMOUS) as response:
            if response.status_code == 200 and response.data == file.read_bytes():
                return "the file"
            same = response.status_code == 200
            return "other content" if same else f"status {response.status_code}"
    except Exception as error:
        return type(error).__name__


def _changes_while_it_runs(app: Flask, folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether it contains data of the app: a file that the app deletes must not be served."""
    places = [app.instance_path, environment["RUN_DIR"], environment.get("DATA_DIR")]
    real = folder.resolve()
    return any(real.is_relative_to(Path(place).resolve()) for place in places if place)


def _reject_exposed(mount: Mount, route: _Route, not_public: list[tuple[str, Path]]) -> None:
    folder = route.folder.resolve()
    for what, path in not_public:
        if path.is_relative_to(folder):
            raise Refusal(
                f"MOUNTS: the static_folder of {_name(route)} in {mount.target} is"
                f" {str(route.folder)!r}, which holds {what} ({path}), and all files in a static"
                " folder are public; move the public files into a directory of their own, such as"
                " 'static', and name that one."
            )
    static.refuse_links_that_lead_out(route.folder)
    for file in static.public_files(route.folder):
        try:
            with file.open("rb") as opened:
                begin = opened.read(64)
        except OSError:
            continue  # the app cannot send it either
        if begin.startswith(_DATABASE) or (b"-----BEGIN" in begin and b"PRIVATE KEY" in begin):
            raise Refusal(
                f"MOUNTS: {str(file)!r} in the static_folder of {_name(route)} in {mount.target} is"
                " a database or a private key, and all files in a static folder are public; move"
                " it out of there."
            )


def _not_public(app: Flask, environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Private files and directories, each with its name in an error."""
    for module in list(sys.modules.values()):
        if isinstance(file := getattr(module, "__file__", None), str):
            yield "code", Path(file).resolve()
    yield "the instance folder", Path(app.instance_path).resolve()
    for name in ("RUN_DIR", "DATA_DIR", "TLS_KEY", "DEBUG_PASSWORD_FILE"):
        if environment.get(name, "/dev/null") != "/dev/null":
            yield name, Path(environment[name]).resolve()
    for directory in (PROJECT, Path(environment.get("APP_DIR", PROJECT))):
        yield "the settings", directory.resolve() / ".env"


def _reject_dotfiles(mount: Mount, route: _Route) -> None:
    # nginx does not know the URL. Elsewhere it responds with 404.
    for directory in static.directories(route.folder):
        for name in static.dotfiles(directory):
            raise Refusal(
                f"MOUNTS: the static_folder of {_name(route)} in {mount.target} has"
                f" {str(directory / name)!r}, and nginx cannot hide it, since the URL has a"
                " variable; remove it."
            )


def _name(route: _Route) -> str:
    return f"{type(route.owner).__name__} {route.owner.name!r}"
