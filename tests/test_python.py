"""The Python that an app runs in is that of its packages, in what it starts as well."""

import signal
import sys
from pathlib import Path

from tests.servers import Serve, until

APP = """\
import subprocess
import sys

from flask import Flask

app = Flask(__name__)


@app.get("/")
def from_a_child() -> str:
    command = [sys.executable, "-c", "import sys; print(sys.prefix)"]
    return subprocess.run(command, capture_output=True, text=True).stdout
"""


def test_a_child_of_the_app_is_run_in_its_virtual_environment_and_after_a_reload_too(
    serve: Serve, tmp_path: Path
) -> None:
    here = f"{sys.prefix}\n"
    (tmp_path / "parent.py").write_text(APP)
    site = serve("host", files=[tmp_path / "parent.py"], MOUNTS="/path=parent:app", WORKERS=1)
    assert site.ask("/path/").text == here
    own = site.process.pid
    master = next(p for p in site.processes() if p.name() == "uwsgi" and p.ppid() == own)
    master.send_signal(signal.SIGHUP)
    until(lambda: "(RE)spawned uWSGI master" in site.logs(), "the reload")
    assert until(lambda: site.ask("/path/").text == here, "the same response")
