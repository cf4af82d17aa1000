"""Static files: laid out for nginx as their URLs name them, each with a compressed twin.

nginx then needs no knowledge of any app: it looks below one folder for the file that the URL
names, and asks the app when there is none.
"""

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

from deploy.mounts import Mount
from deploy.refusal import Refusal

# What is worth compressing: images, fonts and archives are compressed already.
_TEXT = {".css", ".csv", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".xml"}
# Below this an answer fits one network packet either way.
_LEAST = 1024


def publish(app: object, mount: Mount, root: Path) -> int:
    """Copy an app's static files to where nginx looks for them.

    Nothing is deleted: a page that was loaded before an update still finds its files.

    Args:
        app: what the mount names; anything but a Flask app has no static files to publish.
        mount: where the app is mounted.
        root: the folder that nginx serves; a file ``/path/static/a.css`` lands just there in it.

    Returns:
        How many files the app has.

    Raises:
        Refusal: a link in a static folder leads out of it.
    """
    count = 0
    for folder, url in static_folders(app) if isinstance(app, Flask) else ():
        _refuse_links_that_lead_out(folder)
        target = root / f"{mount.prefix}{url}".strip("/")
        for file in _public_files(folder):
            _place(file, target / file.relative_to(folder))
            count += 1
    return count


def static_folders(app: Flask) -> Iterator[tuple[Path, str]]:
    """Each static folder of an app and its blueprints, with its URL below the mount."""
    for rule in app.url_map.iter_rules():
        name, _, endpoint = rule.endpoint.rpartition(".")
        prefix, found, rest = rule.rule.partition("<path:filename>")
        if endpoint != "static" or not found or rest or "<" in prefix or rule.host:
            continue
        owner = app.blueprints[name] if name else app
        if owner.static_folder:
            yield Path(owner.static_folder), prefix


def _refuse_links_that_lead_out(folder: Path) -> None:
    """nginx follows no link, but asks the app for what it lacks, and Flask follows them all."""
    for directory, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(directory, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise Refusal(
                    f"MOUNTS: {str(path)!r} is a link that leads out of the static folder, so"
                    " everybody could read what is behind it; put a copy there instead."
                )


def _public_files(folder: Path) -> Iterator[Path]:
    """Every file that is meant to be seen: no dotfiles, and no links, which may lead outside."""
    for directory, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in files:
            file = Path(directory, name)
            if not name.startswith(".") and not file.is_symlink():
                yield file


def _place(source: Path, target: Path) -> None:
    seen = source.stat()
    if target.exists() and target.stat().st_mtime_ns == seen.st_mtime_ns:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Both get the source's time, from which nginx makes ETag and Last-Modified, so that every
    # machine and every restart answers alike. Renamed into place: nginx never sees half a file.
    part = target.with_name(f".{target.name}.part")
    twin = target.with_name(f"{target.name}.gz")
    if source.suffix in _TEXT and seen.st_size >= _LEAST:
        with source.open("rb") as plain, gzip.open(part, "wb") as packed:
            shutil.copyfileobj(plain, packed)
        shutil.copystat(source, part)
        part.replace(twin)
    elif not source.with_name(twin.name).exists():
        twin.unlink(missing_ok=True)  # of a larger one before: nginx would go on sending it
    shutil.copy2(source, part)
    part.replace(target)
