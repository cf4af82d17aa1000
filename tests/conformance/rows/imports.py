"""What apps do while they are imported."""

from functools import partial

from tests.conformance.row import Row, status_and_body

row = partial(Row, "import time", site="imports", look=status_and_body)
# What is compared to Werkzeug's server.
COMPARED = {
    "handlers": "signal handlers",
    "termination": "a handler for SIGTERM",
    "directory": "os.chdir",
    "umask": "os.umask",
    "variables": "os.environ is changed, the server's settings among it",
    "open_file": "a file is opened and read in requests",
    "written_file": "a file is written",
    "thread": "a thread is started",
    "child_ends": "a child is started and ends",
    "start_method": "multiprocessing.set_start_method",
    "factory_call": "a factory is called once in a process",
    "uwsgi_module": "the uwsgi module, if there is one",
    "limits": "limits of the interpreter",
    "collector": "the garbage collector",
    "search_path": "sys.path",
    "descriptors": "unknown descriptors are closed",
    "event_loop": "asyncio.run",
    "pool": "a process pool",
    "database": "a SQLite database",
}
FAIL = {
    "unloadable.missing_module:app": ("a package is missing", "no_such_package_anywhere"),
    "unloadable.syntax:app": ("a syntax error", "SyntaxError"),
    "unloadable.exits:app": ("sys.exit()", "DATABASE_URL is not set"),
    "unloadable.no_app:app": ("there is no app of that name", "no_app"),
    "unloadable.factory:create_app()": ("a factory fails", "the database is away"),
}
NOT_STARTED = "it does not start"
ROWS = (
    row("argparse", ("/arguments/",), right=(200, b"False 1 1")),
    row("standard input is read", ("/standard_input/",), right=(200, b"'' no input")),
    row(
        "__name__ and __main__",
        ("/module_names/",),
        right=(200, b"imports.module_names __main__ module_names.py True"),
    ),
    *(row(text, (f"/{name}/",)) for name, text in COMPARED.items()),
    row(
        "output is written",
        ("/output/",),
        logs=("^IMPORT prints$", "^IMPORT writes$", "^IMPORT complains$"),
    ),
    row("warnings", ("/warnings_/",), logs=("UserWarning: IMPORT warns",)),
    row("logging is configured", ("/log_configuration/",), logs=("^CONFIGURED INFO ünïcödé$",)),
    # The line may begin with the prompt of another app, which has no end of line.
    row("sys.stdout is replaced", ("/standard_output/",), logs=("REPLACED output$",)),
    row("atexit.register", ("/at_exit/",), logs=("^IMPORT at exit$",)),
    *(
        row(text, mount=mount, right=NOT_STARTED, logs=(said,), kinds=("host",))
        for mount, (text, said) in FAIL.items()
    ),
)
