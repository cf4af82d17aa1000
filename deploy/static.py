"""Static files: laid out for nginx as their URLs name them, with compressed twins.

nginx then needs no knowledge of any app: it looks below one folder for the file that the URL
names, and asks the app when there is none.
"""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import brotli
from flask import Flask

from deploy.mounts import Mount
from deploy.refusal import Refusal

# What is worth compressing: images, fonts and archives are compressed already.
_TEXT = {".css", ".csv", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".xml"}
# Below this an answer fits one network packet either way.
_LEAST = 1024
# As small as it gets, at a second for each megabyte; and still smaller than gzip's best, at 1 % of
# that time.
_SMALLEST, _QUICK = 11, 6


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
    # All get the source's time, from which nginx makes ETag and Last-Modified, so that every
    # machine and every restart answers alike.
    for suffix, pack in _twins_of(source, _QUICK).items():
        _put(target.with_name(f"{target.name}{suffix}"), source, pack(source.read_bytes()))
    for suffix in (".br", ".gz"):
        if not _is_text(source) and not source.with_name(f"{source.name}{suffix}").exists():
            # Of a larger one before: nginx would go on sending it.
            target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
    _put(target, source)


def compress(folder: Path) -> int:
    """Lay compressed twins beside the texts in every folder named ``static``.

    It takes its time, and so belongs into the build of an image: ``publish`` finds them there, and
    makes quickly what is missing.

    Args:
        folder: where to look; hidden folders are left out.

    Returns:
        How many files were compressed.
    """
    count = 0
    for static in folder.rglob("static"):
        for file in list(_public_files(static)):
            for suffix, pack in _twins_of(file, _SMALLEST).items():
                _put(file.with_name(f"{file.name}{suffix}"), file, pack(file.read_bytes()))
                count += suffix == ".br"
    return count


def _is_text(source: Path) -> bool:
    return source.suffix in _TEXT and source.stat().st_size >= _LEAST


def _twins_of(source: Path, quality: int) -> dict[str, Callable[[bytes], bytes]]:
    """How to make the twins that are worth having and are not beside it, by their suffix."""
    if not _is_text(source):
        return {}
    twins = {".gz": gzip.compress, ".br": partial(brotli.compress, quality=quality)}
    return {s: pack for s, pack in twins.items() if not source.with_name(source.name + s).exists()}


def _put(target: Path, source: Path, packed: bytes | None = None) -> None:
    """Copy a file, or what was made of it, with its time; nginx never sees half of it."""
    part = target.with_name(f".{target.name}.part")
    if packed is None:
        shutil.copy2(source, part)
    else:
        part.write_bytes(packed)
        shutil.copystat(source, part)
    part.replace(target)
