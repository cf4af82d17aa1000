"""Child processes and signals. What is right is written here: `fork` in a server with threads can
hang in any server, so a comparison would be one of luck."""

import json
from functools import partial

from tests.conformance.row import Row

row = partial(Row, "children and signals", look=lambda reply: (reply.status, reply.body.decode()))
SQUARES = "[0, 1, 4, 9, 16]"
RIGHT = {
    "run": ("subprocess.run", "0 out\n"),
    "exit-status": ("an exit status", "42 "),
    "shell": ("a pipeline in a shell", "(0, 'a')"),
    "os-system": ("os.system", "3"),
    "popen": ("os.popen", "popen\n"),
    "not-found": ("a command that is not there", "127"),
    "terminate": ("terminate()", "-15"),
    "kill": ("kill()", "-9"),
    "interrupt": ("SIGINT", "-2"),
    "hangup": ("SIGHUP", "-1"),
    "user-signal": ("SIGUSR1", "-10"),
    "timeout": ("timeout(1)", "124 "),
    "timeout-expired": ("subprocess's own timeout", "expired"),
    "alarm": ("an alarm in a child", "-14 "),
    "handler": ("a handler for SIGTERM in a child", "0 handled\nend\n"),
    "trap": ("a shell's trap", "3 trapped\n"),
    "blocked": ("no signal is blocked in a child", "0000000000000000"),
    "ignored": ("no signal is ignored in a child", "0000000000000000"),
    "broken-pipe": ("SIGPIPE ends the left side of a pipe", "0 y\n141\n"),
    "own-mask": ("no signal is blocked in the request's thread", "[]"),
    "stdin": ("a child's standard input is at its end", "0 ''\n"),
    "stdin-pipe": ("a child that reads and writes", "b'and back'"),
    "directory": ("a child's working directory", "True"),
    "variable": ("a child sees .env", "0 plain\n"),
    "own-variable": ("a child's own variable", "0 mine\n"),
    "python": ("sys.executable has the app's packages", "0 flask 1\n"),
    "python-module": ("python -m flask", "0 Usage: python -m flask [OPTIONS] COMMAND [ARGS]..."),
    "flask-command": ("flask --app ... routes", "0"),
    "fork": ("os.fork in a view", "b'from the child' 7"),
    "spawn-process": ("multiprocessing: spawn", "49 0"),
    "forkserver-process": ("multiprocessing: forkserver", "49 0"),
    "spawn-terminated": ("multiprocessing: spawn, terminated", "-15"),
    "spawn-pool": ("a pool: spawn", SQUARES),
    "forkserver-pool": ("a pool: forkserver", SQUARES),
    "closed-pool": ("a pool that is closed", SQUARES),
    "fork-executor": ("ProcessPoolExecutor: fork", SQUARES),
    "spawn-executor": ("ProcessPoolExecutor: spawn", SQUARES),
    "executor-error": ("an error in a ProcessPoolExecutor", "3 in a child"),
    "manager": ("a Manager", "{'a': 1}"),
    "async": ("asyncio.create_subprocess_exec", "0 b'async\\n'"),
    "descriptors": ("a child that closes nothing gets the standard descriptors alone", "[]"),
    "group": ("a process group is ended", "-15"),
    "parent": ("multiprocessing.parent_process", "None"),
    "main-process": ("multiprocessing.current_process", "MainProcess"),
}
ROWS = (
    *(row(text, (f"/x/child/{name}",), right=(200, said)) for name, (text, said) in RIGHT.items()),
    row(
        "eight children at once",
        ("/x/child-many/run?n=8",),
        right=(200, json.dumps(["0 out\n"])),
    ),
    row(
        "eight children are ended at once",
        ("/x/child-many/terminate?n=8",),
        right=(200, '["-15"]'),
    ),
    row(
        "a child that outlives its request",
        ("/x/detached/{token}", "/x/detached-done/{token}"),
        right=[(200, "started"), (200, "done")],
    ),
)
