"""The environment, `.env` first, and the log."""

from functools import partial

from tests.conformance.row import Row, status_and_body

row = partial(Row, "environment and log", look=status_and_body)
VARIABLES = {
    "ENV_PLAIN": "a plain value",
    "ENV_EMPTY": "an empty value",
    "ENV_SINGLE": "single quotes",
    "ENV_DOUBLE": "double quotes",
    "ENV_HASH": "a hash in quotes",
    "ENV_COMMENT": "a comment after a value",
    "ENV_HASH_INSIDE": "a hash within a word",
    "ENV_EQUALS": "equals signs",
    "ENV_DOLLAR": "dollars in single quotes",
    "ENV_BACKSLASH": "a backslash in single quotes",
    "ENV_URL": "a URL",
    "ENV_JSON": "JSON in single quotes",
    "ENV_UNICODE": "Unicode",
    "ENV_NEWLINE": "a line feed in double quotes",
    "ENV_SPACES_INSIDE": "spaces within a value",
    "ENV_QUOTE_INSIDE": "an apostrophe in double quotes",
    "ENV_EXPORTED": "export before a name",
    "ENV_MISSING": "a variable that is not set",
}
COMPARED = {
    "stdout-encoding": "encoding of standard output",
    "filesystem-encoding": "encoding of file names",
    "directory": "the working directory is the project",
    "temporary": "a temporary file can be written",
    "same-at-import": "no variable goes after the import",
    "path": "PATH has absolute directories",
    "executable": "sys.executable is Python",
    "prefix": "the virtual environment is in use",
    "zone": "time zone",
    "uwsgi-variables": "no UWSGI_ variables",
    "debug": "debug and testing are off",
    "optimised": "assertions are on",
    "recursion": "recursion limit",
    "utf8-mode": "open() reads UTF-8",
    "open-files": "1,024 open files",
    "hash-seed": "PYTHONHASHSEED",
}
LOGGED = {
    "print": ("print()", "^PRINT from a view, ünïcödé$"),
    "stderr": ("print to standard error", "^PRINT to standard error$"),
    "log": ("the app's logger", r"LOGGED by the app's logger( \(id \w+\))?$"),
    "long-line": ("a line of 5 kB", "^LONGx{5000}END$"),
    "parts": ("a line in parts", "^no line of its own PART$"),
}
ROWS = (
    *(
        row(f".env: {text}", (f"/x/environment/variable/{name}",))
        for name, text in VARIABLES.items()
    ),
    row(
        "the shell and .env have the same variable",
        ("/x/environment/variable/CONFORMANCE_SHELL",),
        differs="variables-of-the-shell",
    ),
    *(row(text, (f"/x/environment/{name}",)) for name, text in COMPARED.items()),
    *(
        row(f"log: {text}", (f"/x/environment/{name}",), logs=(pattern,))
        for name, (text, pattern) in LOGGED.items()
    ),
)
