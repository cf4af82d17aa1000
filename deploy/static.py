"""Static files on disk: laid out for nginx as their URLs name them, with precompressed variants.

nginx needs no knowledge of any app: it looks below one directory for the file that the URL names,
and asks the app when there is none. Which files these are is decided in ``publishing``.
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

from deploy import promotion
from deploy.knobs import PROJECT
from deploy.refusal import Refusal

# What is worth compressing: images, fonts and archives are compressed already.
_TEXT = {".css", ".csv", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".xml"}
# Below this a response fits one network packet either way.
_LEAST = 1024
# As small as it gets, at a second for each megabyte; and still smaller than gzip's best, at 1 % of
# that time.
_SMALLEST, _QUICK = 11, 6
# Where a container of the app keeps what it has laid out: in memory, and seen by no other one.
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
    """Make the directory that nginx serves anew, and put it in the place of the one before.

    Everything is copied from the apps' own folders: the app's user may write to the old directory,
    so nothing in it is trusted, and a file that the apps no longer have is gone. Only while another
    instance is live, files of its release with a fingerprint in their names stay, for pages that
    were loaded from it. In containers, a rollout has this done again when the old one is gone.

    Args:
        files: the source of each file, by its path below the directory.
        closed: directories in which all dotfiles are 404s.
        hidden: dotfiles that are 404s.
        run_dir: RUN_DIR.
        kept: the directory whose files with fingerprints stay.
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
        # Between the two renames, nginx finds no file and asks the app.
        with contextlib.suppress(FileNotFoundError):
            live.rename(root / f"{new.name}-before")
        new.rename(live)
        for path in root.iterdir():
            if path != live:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def lay_out_previous(files: Mapping[str, str], run_dir: Path) -> None:
    """Lay out what has a fingerprint in its name, of a release that is no longer live."""
    root = run_dir / "static"
    with _only_one(root):
        shutil.rmtree(root / "previous", ignore_errors=True)
        for path, source in files.items():
            if has_fingerprint(source):
                _place(Path(source), root / "previous" / path)


def write_list(files: Mapping[str, str], closed: Iterable[str], hidden: Iterable[str]) -> None:
    """Keep the arguments of ``lay_out``."""
    LIST.unlink(missing_ok=True)
    LIST.write_text(json.dumps([dict(files), list(closed), list(hidden)]))


def lay_out_again(run_dir: Path, *, with_previous: bool) -> bool:
    """Do it again in this container, when the one of the release before has ended.

    Args:
        run_dir: RUN_DIR.
        with_previous: whether `lay_out_previous` was called after that end.

    Returns:
        Whether it is done. If not, files of the release before are there, and have to be laid out
        first.
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
    """Wait for another instance that is doing the same."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_links_that_lead_out(folder: Path) -> None:
    """nginx follows no link, but asks the app for what it lacks, and Flask follows them all."""
    for directory, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(directory, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise Refusal(
                    f"MOUNTS: {str(path)!r} is a link that leads out of the static folder, so"
                    " everybody could read what is behind it; put a copy there instead."
                )


def directories(folder: Path) -> Iterator[Path]:
    """The folder and all directories in it, but for hidden ones."""
    yield folder  # there or not
    for directory, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(directory, name) for name in folders if not _is_link(directory, name))


def public_files(folder: Path) -> Iterator[Path]:
    """Every file that is meant to be seen: no dotfiles, and no links, which may lead outside."""
    for directory in filter(Path.is_dir, directories(folder)):
        for file in sorted(directory.iterdir()):
            if not file.name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file


def dotfiles(directory: Path) -> list[str]:
    """The names of what is hidden in a directory itself."""
    with contextlib.suppress(OSError):
        return [path.name for path in directory.iterdir() if _is_hidden(path.name)]
    return []


def _is_link(directory: str, name: str) -> bool:
    return Path(directory, name).is_symlink()  # os.walk does not follow it, either


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name != ".well-known"  # RFC 8615: that is for everybody


@cache
def _fingerprint() -> re.Pattern[str]:
    # As nginx recognises it.
    text = (PROJECT / "nginx" / "snippets" / "fingerprints.conf").read_text()
    return re.compile(re.search(r'"~(.*)"$', text, re.MULTILINE)[1])


def has_fingerprint(name: str) -> bool:
    """Whether browsers keep a file of this name for a year."""
    return bool(_fingerprint().search(f"/{name}"))


def _place(source: Path, target: Path) -> None:
    # All get the source's time, from which nginx makes ETag and Last-Modified, so that every
    # machine and every restart responds alike.
    for suffix, pack in _twins_of(source, _QUICK).items():
        _copy(source, target.with_name(f"{target.name}{suffix}"), pack)
    _copy(source, target)


def _copy(source: Path, target: Path, pack: Callable[[bytes], bytes] | None = None) -> None:
    """Copy a file, or what is made of it, with its time, for every user to read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if pack:
        target.write_bytes(pack(source.read_bytes()))
    else:
        shutil.copyfile(source, target)
    shutil.copystat(source, target)
    target.chmod(0o644)


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
        for file in list(public_files(static)):
            for suffix, pack in _twins_of(file, _SMALLEST).items():
                _copy(file, file.with_name(f"{file.name}{suffix}"), pack)
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
