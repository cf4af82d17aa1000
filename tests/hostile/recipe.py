"""The usual recipe for Flask behind nginx and uWSGI at a path, to compare with."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import psutil

from tests.hostile.wire import ClosedError, Wire, request
from tests.servers import free_port, until

NGINX = """\
daemon off; pid nginx.pid; error_log nginx.log; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body; uwsgi_temp_path uwsgi; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location /path {{ try_files $uri @app; }}
        location @app {{ include uwsgi_params; uwsgi_pass unix:{folder}/x.sock; }}
    }}
}}
"""


class Recipe:
    """nginx and uWSGI as most pages on the web set them up, with an app of ours at /path.

    Args:
        app: the file of a module that has an `app`.
    """

    def __init__(self, app: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="recipe"))
        shutil.copy(app, self._folder)
        self._module = app.stem
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._clean_up)
            configuration = self._folder / "nginx.conf"
            # As root, nginx's workers would drop to a user without access to this directory.
            user = "user root;" if os.geteuid() == 0 else ""
            configuration.write_text(NGINX.format(port=self.port, folder=self._folder, user=user))
            shutil.copy("/etc/nginx/uwsgi_params", self._folder)
            self._start(
                str(Path(sys.executable).with_name("uwsgi")),
                *("--socket", "x.sock", "--manage-script-name", "--workers", "4", "--threads", "4"),
                *("--mount", f"/path={self._module}:app"),
            )
            environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
            program = shutil.which("nginx", path=environment["PATH"])
            self._start(program, "-e", "nginx.log", "-p", f"{self._folder}/", "-c", "nginx.conf")
            until(self._is_up, "a response of the usual recipe")
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up()

    def _start(self, *command: str) -> None:
        with (self._folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _is_up(self) -> bool:
        try:
            with Wire(self.port) as wire:
                return wire.send(request("/path/seen")).reply().status == 200
        except (OSError, ClosedError):
            return False

    def _clean_up(self) -> None:
        started = [psutil.Process(process.pid) for process in self._processes]
        processes = [p for one in started for p in (one, *one.children(recursive=True))]
        for process in self._processes:
            process.send_signal(signal.SIGQUIT)  # to both of them: stop at once, or when done
        # Without a master, some of uWSGI's workers may hear nothing of it.
        _, left = psutil.wait_procs(processes, timeout=10)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self._processes:
            process.wait()
        shutil.rmtree(self._folder)
