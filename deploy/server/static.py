"""The document root of nginx: static files by their URL, with precompressed variants.

nginx serves a file of this directory if the URL names one, and passes all other requests to the
app. ``publishing`` selects the files.
"""

import contextlib
import fcntl
import gzip
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import brotli

from deploy.problems import Refusal
from deploy.server import promotion
from deploy.settings.knobs import PROJECT

# Compressible types; images, fonts and archives are compressed already.
_TEXT = {".css", ".csv", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".xml"}
# Below this a response fits one network packet either way.
_LEAST = 1024
# Levels of brotli: the highest takes a second for each megabyte; the other takes 1 % of that, and
# is still smaller than gzip's highest.
_SMALLEST, _QUICK = 11, 6
# The published files of this container: in memory, and private to it.
LIST = Path("/tmp/published.json")
# In a directory with this file nginx responds with 404 to all dotfiles: nginx/mount.conf.template.
_CLOSED = ".static"


def lay_out(
    files: Mapping[str, str],
    closed: Iterable[str],
    hidden: Iterable[str],
    run_dir: Path,
    kept: str = "live",
) -> None:
    """Build the document root again, and replace the previous one.

    All files are copied from the apps' own directories: the app's user can write to the old
    document root, so its files are not trusted, and removed files have to be gone. While another
    instance is live, fingerprinted files of its release are kept, for pages that were loaded from
    it. In containers, a rollout repeats this when the old container has exited.

    Args:
        files: the source of each file, by its path below the directory.
        closed: directories in which all dotfiles are 404s.
        hidden: dotfiles that are 404s.
        run_dir: RUN_DIR.
        kept: the directory whose fingerprinted files are kept.
    """
    root = run_dir / "static"
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root):
        new = Path(tempfile.mkdtemp(prefix="new-", dir=root))
        live = root / "live"
        if promotion.listens(run_dir / "sockets" / "live.sock"):
            for file in public_files(root / kept):
                if has_fingerprint(file.name):
                    _copy(file, new / file.relative_to(root / kept))
        for path, source in files.items():
            _place(Path(source), new / path)
        for path in (*(f"{directory}/{_CLOSED}" for directory in closed), *hidden):
            with contextlib.suppress(FileExistsError):
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).touch(exist_ok=False)
                (new / path).chmod(0o644)
        for directory, _, _ in os.walk(new):
            Path(directory).chmod(0o755)
        # Between the two renames, nginx finds no file and passes requests to the app.
        with contextlib.suppress(FileNotFoundError):
            live.rename(root / f"{new.name}-before")
        new.rename(live)
        for path in root.iterdir():
            if path != live:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def lay_out_previous(files: Mapping[str, str], run_dir: Path) -> None:
    """Publish the fingerprinted files of a release that is no longer live."""
    root = run_dir / "static"
    with _only_one(root):
        shutil.rmtree(root / "previous", ignore_errors=True)
        for path, source in files.items():
            if has_fingerprint(source):
                _place(Path(source), root / "previous" / path)


def write_list(files: Mapping[str, str], closed: Iterable[str], hidden: Iterable[str]) -> None:
    """Store the arguments of ``lay_out``."""
    LIST.unlink(missing_ok=True)
    LIST.write_text(json.dumps([dict(files), list(closed), list(hidden)]))


def lay_out_again(run_dir: Path, *, with_previous: bool) -> bool:
    """Publish this container's files again, when the container of the previous release has exited.

    Args:
        run_dir: RUN_DIR.
        with_previous: whether `lay_out_previous` was called after that.

    Returns:
        Whether it is done. If not, there are files of the previous release, which have to be
        published first.
    """
    files, closed, hidden = json.loads(LIST.read_text())
    if not with_previous:
        live = run_dir / "static" / "live"
        names = {str(path.relative_to(live)) for path in public_files(live)}
        left = {name for name in names if name.removesuffix(".br").removesuffix(".gz") not in files}
        if any(map(has_fingerprint, left)):
            return False
        shutil.rmtree(run_dir / "static" / "previous", ignore_errors=True)
    lay_out(files, closed, hidden, run_dir, kept="previous")
    return True


@contextlib.contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Wait for another instance that publishes."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_links_that_lead_out(folder: Path) -> None:
    """Reject links out of a static folder: nginx passes them to the app, and Flask follows them."""
    for directory, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(directory, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise Refusal(
                    f"MOUNTS: {str(path)!r} is a link that leads out of the static folder, so"
                    " all clients could read its target; replace it by a copy."
                )


def directories(folder: Path) -> Iterator[Path]:
    """The directory and all directories in it, except hidden ones."""
    yield folder  # even if it does not exist
    for directory, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(directory, name) for name in folders if not _is_link(directory, name))


def public_files(folder: Path) -> Iterator[Path]:
    """All files except dotfiles and links, which may lead outside."""
    for directory in filter(Path.is_dir, directories(folder)):
        for file in sorted(directory.iterdir()):
            if not file.name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file


def dotfiles(directory: Path) -> list[str]:
    """The names of the hidden entries of a directory."""
    with contextlib.suppress(OSError):
        return [path.name for path in directory.iterdir() if _is_hidden(path.name)]
    return []


def _is_link(directory: str, name: str) -> bool:
    return Path(directory, name).is_symlink()  # not followed by os.walk either


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != ".well-known"  # RFC 8615: public


@cache
def _fingerprint() -> re.Pattern[str]:
    # nginx's own expression.
    text = (PROJECT / "nginx" / "snippets" / "fingerprints.conf").read_text()
    return re.compile(re.search(r'"~(.*)"$', text, re.MULTILINE)[1])


def has_fingerprint(name: str) -> bool:
    """Whether a file name is fingerprinted: browsers cache it for a year."""
    return bool(_fingerprint().search(f"/{name}"))


def _place(source: Path, target: Path) -> None:
    # Keep the modification time, from which nginx makes ETag and Last-Modified: they are the same
    # on each machine and after each restart.
    for suffix, pack in _missing_variants(source, _QUICK).items():
        _copy(source, target.with_name(f"{target.name}{suffix}"), pack)
    _copy(source, target)


def _copy(source: Path, target: Path, pack: Callable[[bytes], bytes] | None = None) -> None:
    """Copy or compress a file, with its modification time, readable for all users."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if pack:
        target.write_bytes(pack(source.read_bytes()))
    else:
        shutil.copyfile(source, target)
    shutil.copystat(source, target)
    target.chmod(0o644)


def compress(folder: Path) -> int:
    """Write precompressed variants of the text files in all directories named ``static``.

    This is slow, and runs in the build of the image. ``publish`` uses existing variants, and makes
    missing ones at a lower level.

    Args:
        folder: where to look; hidden directories are skipped.

    Returns:
        How many files were compressed.
    """
    count = 0
    for static in folder.rglob("static"):
        for file in list(public_files(static)):
            for suffix, pack in _missing_variants(file, _SMALLEST).items():
                _copy(file, file.with_name(f"{file.name}{suffix}"), pack)
                count += suffix == ".br"
    return count


def _is_text(source: Path) -> bool:
    return source.suffix in _TEXT and source.stat().st_size >= _LEAST


def _missing_variants(source: Path, quality: int) -> dict[str, Callable[[bytes], bytes]]:
    """Compressors of the variants that do not exist yet, by their suffix."""
    if not _is_text(source):
        return {}
    packs = {".gz": gzip.compress, ".br": partial(brotli.compress, quality=quality)}
    return {s: pack for s, pack in packs.items() if not source.with_name(source.name + s).exists()}
