"""Install uWSGI as a module of this Python: ``python deploy/install_uwsgi.py requirements.txt``

uWSGI is usually a program that uses Python as a shared library, and so runs the app more slowly:
calls and global data take a detour in a shared library, and Debian lets a profile guide the
compiler only for ``python3`` itself. uWSGI's own profile ``pyuwsgi`` makes it a module instead,
which ``python3`` loads (https://uwsgi-docs.readthedocs.io/en/latest/BuildSystem.html). It also
means that an update of Python reaches the app without compiling anything.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# What a person types as `uwsgi`. -i: sys.exit() in a view would end the worker under the other
# threads, or hang it; in an interactive Python, it is an exception like any other.
_PROGRAM = """\
#!{interpreter} -i
if __name__ == "__main__":  # the children of multiprocessing import this file under another name
    import sys

    from pyuwsgi import run

    del sys.path[0]  # the directory of this file
    run()
"""


def main(requirements: Path) -> int:
    """Install the uWSGI that is locked there; returns pip's exit status."""
    locked = re.search(r"^uwsgi==(.*\\\n)*.*\n", requirements.read_text(), re.MULTILINE)
    # No cache, since that may hold the usual uWSGI.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-cache-dir", "--no-deps", "--use-pep517", "--requirement", "/dev/stdin"]
    program = Path(sys.executable).with_name("uwsgi")
    if not program.with_name("pyuwsgi.so").exists():
        command.append("--force-reinstall")  # it may be there as a program
    environment = os.environ | {"UWSGI_PROFILE": "pyuwsgi"}
    done = subprocess.run(command, input=locked[0], text=True, env=environment, check=False)
    if done.returncode == 0:
        # The kernel would end the interpreter's name at a space.
        quoted = f'/usr/bin/env -S "{sys.executable}"'
        interpreter = quoted if " " in sys.executable else sys.executable
        program.write_text(_PROGRAM.format(interpreter=interpreter))
        program.chmod(0o755)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
