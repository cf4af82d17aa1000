"""Static files. nginx serves them, so validators and caching differ, and are not compared."""

from functools import partial

from tests.conformance.row import Ask, Row, status, status_and_body, with_headers

TYPED = with_headers("Content-Type", "Content-Length")
RANGED = with_headers("Content-Range", "Content-Length")
row = partial(Row, "static files", look=TYPED)
TYPES = {
    "plain.txt": "text",
    "style.css": "CSS",
    "script.js": "JavaScript",
    "module.mjs": "a JavaScript module",
    "data.json": "JSON",
    "page.html": "HTML",
    "image.svg": "SVG",
    "sheet.csv": "CSV",
    "notes.md": "Markdown",
    "font.woff2": "a font",
    "code.wasm": "WebAssembly",
    "app.webmanifest": "a web manifest",
    "noextension": "no extension",
    "empty.txt": "an empty file",
    "a%20b.txt": "a space in a name",
    "%C3%BCber.txt": "an umlaut in a name",
    "deep/er/file.txt": "a file in directories",
}
DIFFERS = {
    "a dotfile": "dotfiles",
    "a dotfile in a directory": "dotfiles",
    "a dotfile at the root": "dotfiles",
}


def file(text: str, target: str, look=TYPED) -> Row:
    return row(text, (target,), look=look, differs=DIFFERS.get(text, ""))


PLAIN = "/files/static/plain.txt"
ROWS = (
    *(file(text, f"/files/static/{name}") for name, text in TYPES.items()),
    file("a blueprint's file", "/files/shop/pictures/one.svg"),
    file("a static_url_path of several parts", "/files/deep/er/still/one.svg"),
    file("at the app's root", "/top/robots.txt"),
    file("at the root: a view goes first", "/top/private.html", status),
    file("at the root: a view that takes POST", "/top/report", status_and_body),
    row(
        "at the root: POST to a view with a file's name",
        (Ask("/top/report", "POST"),),
        look=status_and_body,
    ),
    file("at the root: a rule with a converter", "/top/pages/two.html", status_and_body),
    file("at the root: missing, the app's own 404", "/top/missing", status_and_body),
    file("a view below static/", "/files/static/made.txt", status_and_body),
    file("missing", "/files/static/missing.txt", status),
    file("a directory", "/files/static/deep", status),
    file("a directory with a slash", "/files/static/deep/", status),
    file("a slash after a file", "/files/static/plain.txt/", status),
    file("outside", "/files/static/..%2f__init__.py", status),
    file("outside, in plain dots", "/files/static/../__init__.py", status),
    file("a dotfile", "/files/static/.env", status),
    file("a dotfile in a directory", "/files/static/.git/config", status),
    file("a dotfile at the root", "/top/.htpasswd", status),
    file(".well-known", "/files/static/.well-known/security.txt", status),
    file("with a query", f"{PLAIN}?v=1"),
    file("an encoded letter", "/files/static/pl%61in.txt"),
    row("HEAD", (Ask(PLAIN, "HEAD"),)),
    row("POST", (Ask(PLAIN, "POST"),), look=status),
    row("a range", (Ask(PLAIN, headers=(("Range", "bytes=2-7"),)),), look=RANGED),
    row("a range beyond the end", (Ask(PLAIN, headers=(("Range", "bytes=900-"),)),), look=status),
    row(
        "not modified",
        (Ask(PLAIN, headers=(("If-Modified-Since", "Sat, 01 Jan 2050 00:00:00 GMT"),)),),
        look=status,
    ),
    row(
        "an ETag that does not match",
        (Ask(PLAIN, headers=(("If-None-Match", '"x"'),)),),
        look=TYPED,
    ),
    file("url_for", "/files/", status_and_body),
)
