"""Install uWSGI as a module of this Python.

``python deploy/install/uwsgi.py bundle.txt build.txt WHEELS``, with locks of deploy/requirements

uWSGI is usually a program that uses Python as a shared library, and so runs the app more slowly:
calls and global data take a detour in a shared library, and Debian lets a profile guide the
compiler only for ``python3`` itself. uWSGI's own profile ``pyuwsgi`` makes it a module instead,
which ``python3`` loads (https://uwsgi-docs.readthedocs.io/en/latest/BuildSystem.html). It also
means that an update of Python reaches the app without compiling anything.

It is built from the source whose hash is locked, with the patches in deploy/patches, each of
which names its reason. What builds it is locked by hash, too, and is not installed beside the app.
The result is kept in the directory WHEELS, for the next environment.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PATCHES = Path(__file__).resolve().parents[1] / "patches"

# What a person types as `uwsgi`. -i: sys.exit() in a view would end the worker under the other
# threads, or hang it; in an interactive Python, it is an exception like any other.
_PROGRAM = """\
#!{interpreter} -i
# Built from {digest}
if __name__ == "__main__":  # the children of multiprocessing import this file under another name
    import sys

    from pyuwsgi import run

    del sys.path[0]  # the directory of this file
    run()
"""


def main(requirements: Path, build_requirements: Path, wheels: Path) -> None:
    """Install the uWSGI that is locked there, unless it is there already.

    Raises:
        subprocess.CalledProcessError: pip or patch failed; the reason is on standard error.
    """
    locked = re.search(r"^uwsgi==(.*\\\n)*.*\n", requirements.read_text(), re.MULTILINE)[0]
    patches = sorted(PATCHES.glob("*.patch"))
    inputs = [locked.encode(), *(path.read_bytes() for path in [build_requirements, *patches])]
    digest = hashlib.sha256(b"\0".join(inputs)).hexdigest()
    # The kernel would end the interpreter's name at a space.
    quoted = f'/usr/bin/env -S "{sys.executable}"'
    interpreter = quoted if " " in sys.executable else sys.executable
    text = _PROGRAM.format(interpreter=interpreter, digest=digest)
    program = Path(sys.executable).with_name("uwsgi")
    if program.exists() and program.read_text(errors="replace") == text:
        return
    this_python = f"{digest} {sys.base_exec_prefix} {sys.version}"
    built = wheels.absolute() / hashlib.sha256(this_python.encode()).hexdigest()[:16]
    if not built.is_dir():
        wheels.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent) as temporary:
            _build(locked, patches, build_requirements, Path(temporary))
            with contextlib.suppress(OSError):  # another process was faster
                Path(temporary, "wheel").rename(built)
    # By its name: pip marks what comes from a path, and a bill of materials leaves that out.
    # --force-reinstall: uWSGI may be there as a program, or without these patches.
    _pip("install", "--no-deps", "--force-reinstall", "--no-index", "--find-links", built, "uwsgi")
    program.write_text(text)
    program.chmod(0o755)


def _build(locked: str, patches: list[Path], build_requirements: Path, directory: Path) -> None:
    """Make ``wheel``, a directory with that of uWSGI, in the directory."""
    source = _source(locked, directory, build_requirements)
    for path in patches:
        # --fuzz=0: a patch whose surroundings have changed has to be looked at again.
        command = ["patch", "--strip=1", "--fuzz=0", "--quiet", "--input", path]
        subprocess.run(command, cwd=source, check=True)
    to = "--wheel-dir", directory / "wheel"
    _pip("wheel", "--no-deps", *to, source, tools=directory / "tools")


def _source(locked: str, directory: Path, build_requirements: Path) -> Path:
    """The source of uWSGI, unpacked in that directory, beside the ``tools`` that build it."""
    tools = directory / "tools"
    hashed = "--require-hashes", "--requirement"
    # A directory of its own: pip's isolated build would take setuptools without a hash, and the
    # app's environment needs none.
    _pip("install", "--only-binary=:all:", "--target", tools, *hashed, build_requirements)
    (directory / "uwsgi.txt").write_text(locked)
    download = "download", "--no-deps", "--no-binary=:all:", "--dest", directory
    _pip(*download, *hashed, directory / "uwsgi.txt", tools=tools)
    (archive,) = directory.glob("*.tar.gz")
    shutil.unpack_archive(archive, directory)
    return directory / archive.name.removesuffix(".tar.gz")


def _pip(*arguments: str | Path, tools: Path | None = None) -> None:
    """Run pip; with tools, it builds with what is in there and fetches nothing else for that."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", arguments[0], "--quiet"]
    environment = os.environ | {"UWSGI_PROFILE": "pyuwsgi"}
    if tools:
        command += ["--use-pep517", "--no-build-isolation"]
        environment["PYTHONPATH"] = str(tools)
    subprocess.run([*command, *arguments[1:]], env=environment, check=True)


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
