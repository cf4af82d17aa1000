"""Mounts: the paths of the apps, in uWSGI's own syntax ``/path=module:callable``."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from deploy.problems import Refusal

# A path is copied into nginx's configuration and into URLs, so it holds unreserved characters only.
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_TARGET = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<callable>[A-Za-z_]\w*)(?P<factory>\(\))?")


@dataclass(frozen=True)
class Mount:
    """An app under a path.

    Args:
        path: ``/path`` or ``/``; never with a trailing slash.
        target: the app, ``module:callable`` or ``module:factory()``.
    """

    path: str
    target: str

    @property
    def prefix(self) -> str:
        """``SCRIPT_NAME`` of the app: empty for ``/``."""
        return self.path.rstrip("/")

    @property
    def uwsgi_option(self) -> str:
        """The value of uWSGI's ``mount``.

        uWSGI 2.0.31 responds with 500 to all requests under a mount named ``/``. With an empty name
        the mount is the root and ``SCRIPT_NAME`` is empty, as in PEP 3333.
        """
        return f"{self.prefix}={self.target}"


def parse(text: str) -> list[Mount]:
    """Read the value of ``MOUNTS``.

    Args:
        text: mounts separated by white space.

    Raises:
        Refusal: a mount that uWSGI or nginx would misread, or none at all.
    """
    mounts: dict[str, Mount] = {}
    for word in text.split():
        path, separator, target = word.partition("=")
        if not separator:
            raise Refusal(f"MOUNTS: {word!r} has no '='; write it as /path=module:callable.")
        if problem := _problem_of(path):
            raise Refusal(f"MOUNTS: the path in {word!r} {problem}.")
        if not _TARGET.fullmatch(target):
            raise Refusal(
                f"MOUNTS: {target!r} in {word!r} is neither module:callable nor module:factory();"
                " write for example yourapplication:app."
            )
        if path in mounts:
            raise Refusal(f"MOUNTS: {path!r} is given twice; each path can have one app.")
        mounts[path] = Mount(path, target)
    if not mounts:
        raise Refusal("MOUNTS is empty; name at least one app, as in /path=yourapplication:app.")
    return list(mounts.values())


def of(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that a URL's path belongs to: the longest one, as for nginx."""
    fitting = [mount for mount in mounts if path.startswith(f"{mount.prefix}/")]
    return max(fitting, key=lambda mount: len(mount.prefix), default=None)


def _problem_of(path: str) -> str | None:
    if path == "/":
        return None
    if not path.startswith("/"):
        return "does not begin with '/'; begin it with one"
    if path.endswith("/"):
        # uWSGI 2.0.31 bug: with a mount named /path/, a request for /path has memory from beyond
        # the buffer as its PATH_INFO.
        return "ends with '/'; leave the last slash out"
    for segment in path[1:].split("/"):
        if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
            return (
                f"has the part {segment!r}; use letters, digits, '.', '_', '~' and '-' between"
                " single slashes"
            )
    return None


def load(mount: Mount) -> Callable:
    """Import what a mount names, as uWSGI does it.

    Raises:
        Exception: whatever the module raises when it is imported, or the factory when called.
        Refusal: the module has no such callable.
    """
    match = _TARGET.fullmatch(mount.target)
    assert match, f"{mount} was not made by parse()"
    module = importlib.import_module(match["module"])
    found = getattr(module, match["callable"], None)
    if not callable(found):
        what = "is not callable" if found is not None else "does not exist"
        raise Refusal(
            f"MOUNTS: {match['callable']!r} in {mount.target!r} {what}; name the Flask app, or"
            f" its factory followed by (), in {module.__file__}."
        )
    app = found() if match["factory"] else found
    if not callable(app):
        raise Refusal(
            f"MOUNTS: {mount.target!r} returned {type(app).__name__}, not an app;"
            " let the factory return the Flask app."
        )
    return app
