"""Parser of ``.env``, with the same result as Compose's ``env_file``.

Syntax that Compose parses differently, or that only some of its versions support, is rejected. The
rules are those of compose-go's dotenv/parser.go; tests/test_env_file.py compares the two.
"""

import re
from pathlib import Path

from deploy.problems import Refusal

_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_NOTHING = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_UNQUOTED = re.compile(r"[^\n]*")
_ESCAPES = {c: f"\\{c}".encode().decode("unicode_escape") for c in 'abfnrtv"\\'} | {"$": "$"}
# Such as a no-break space from a web page, or a carriage return within a line.
_ODD = re.compile(r"[^\S \t]|[\x00-\x08\x0e-\x1f\x7f]")
# Set by the start itself. The host's PATH would hide Python in a container.
_RESERVED = {"PATH", "PYTHONHOME", "PYTHON", "INSTANCE", "SOCKETS"}


def read(path: Path) -> dict[str, str]:
    """Read a file of settings; without the file there are none.

    Raises:
        Refusal: a line means one thing here and another to Compose, or nothing. The sentence has
            no value in it, since that may be a password.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read ({error}); make it a text file in UTF-8.") from None
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        if nothing := _NOTHING.match(text, position):
            position = nothing.end()
            continue
        number = text.count("\n", 0, position) + 1
        try:
            name, value, position = _line(text, position)
        except ValueError as error:
            raise Refusal(f"{path} line {number} {error}.") from None
        found[name] = value
    return found


def _line(text: str, position: int) -> tuple[str, str, int]:
    """The name and the value that begin here, and where the next line does."""
    if not (start := _NAME.match(text, position)):
        raise ValueError("sets nothing; write NAME=value, or a # before it")
    name, begin = start[1], start.end()
    if name in _RESERVED:
        raise ValueError(f"sets {name}, which this bundle sets itself; choose another name")
    sets, fix = f"sets {name} to a value with", f"write {name}='...', in single quotes"
    if text[begin : begin + 1] in {"'", '"'}:
        value = _QUOTED.match(text, begin)
        rest = value and _NOTHING.match(text, value.end())
        if not rest:
            what = "text after the closing quote" if value else "no closing quote"
            raise ValueError(f"{sets} {what}; {fix} and with \\' for one inside")
        plain, end = _unquote(value[0], f"{sets} %s; {fix}"), rest.end()
    else:
        value = _UNQUOTED.match(text, begin)
        plain, end = value[0].split(" #")[0].strip(" \t\r"), value.end() + 1
        if "$" in plain:
            raise ValueError(f"{sets} a $, which Compose takes for a variable; {fix}")
        if "\t#" in plain or (plain[:1] == "#" and start[0][-1] != "="):
            raise ValueError(f"{sets} a # that may begin a comment; {fix}")
        if odd := _ODD.search(plain):
            raise ValueError(f"{sets} {odd[0]!r} in it; write plain spaces, or {name}='...'")
    if "\0" in plain:
        raise ValueError(f"{sets} a NUL, which no variable can hold; leave it out")
    return name, plain, end


def _unquote(quoted: str, problem: str) -> str:
    """What a value in quotes means: in single ones, only \\' is special."""
    text = quoted[1:-1]
    if quoted[0] == "'":
        return re.sub(r"\\(.)", lambda found: found[found[1] == "'"], text, flags=re.DOTALL)

    def plain(found: re.Match[str]) -> str:
        if found[0] == "$":
            raise ValueError(problem % "a $ in double quotes, which Compose takes for a variable")
        if found[1] in {"c", "0"}:
            raise ValueError(problem % f"{found[0]} in double quotes")
        return _ESCAPES.get(found[1], found[0])

    return re.sub(r"\\(.)|\$", plain, text, flags=re.DOTALL)
