"""Response bodies."""

from functools import partial

from tests.conformance.row import Ask, Row, encoding, failure, status, status_and_body, with_headers

row = partial(Row, "response bodies")
VALUES = {
    "str": "text",
    "bytes": "bytes",
    "bytearray": "a bytearray",
    "empty": "an empty string",
    "dict": "a dict, as JSON",
    "list": "a list, as JSON",
    "with-status": "text and status",
    "with-headers": "text and headers",
    "with-both": "text, status and headers",
    "reason": "a reason phrase of the app's own",
    "no-content": "204",
    "reset-content": "205",
    "not-modified": "304 by the app",
    "teapot": "418",
    "nothing": "a view that returns None",
    "number": "a view that returns a number",
}
ITERABLES = {
    "generator": "a generator of str",
    "bytes-generator": "a generator of bytes",
    "list-of-bytes": "a list of bytes",
    "tuple-of-str": "a tuple of str",
    "map": "a map object",
    "iter-of-list": "an iterator over a list",
    "set-of-one": "a set",
    "empty-chunks": "empty chunks in between",
    "no-chunks": "a generator without a chunk",
    "many-small": "5,000 small chunks",
    "five-megabytes": "5 MB in chunks",
}
FILES = {
    "path": "send_file of a path",
    "bytesio": "send_file of a BytesIO",
    "gzip": "send_file of a gzip file",
    "bz2": "send_file of a bz2 file",
    "xz": "send_file of an xz file",
    "zip": "send_file of a member of a zip",
    "tar": "send_file of a member of a tar",
    "pipe": "send_file of a child's output",
    "reversing": "send_file of an object that changes what it reads",
    "middle": "send_file of a file from its middle on",
    "temporary": "send_file of a temporary file",
    "spooled": "send_file of a spooled temporary file",
    "unbuffered": "send_file of an unbuffered file",
    "buffered-reader": "send_file of a BufferedReader",
}
DATED = with_headers("Content-Length", "Content-Type", "Content-Range", "Accept-Ranges")
RANGES = {
    "a range": "bytes=100-199",
    "a range to the end": "bytes=15990-",
    "the last bytes": "bytes=-10",
    "one byte": "bytes=0-0",
    "a range beyond the end": "bytes=90000-",
    "a range that ends beyond the end": "bytes=15000-99999",
    "several ranges": "bytes=0-1,5-6",
    "a range that is none": "lines=1-2",
}


DIFFERS = {
    "a bytearray": "bytes-like-bodies",
}


def closed(name: str, path: str) -> Row:
    """A response, and then how often it was closed."""
    asks = (f"{path}/{{token}}", "/x/bodies/closed/{token}")
    return row(name, asks, look=status_and_body)


ROWS = (
    *(
        row(text, (f"/x/bodies/value/{name}",), differs=DIFFERS.get(text, ""))
        for name, text in VALUES.items()
    ),
    *(row(text, (f"/x/bodies/iterable/{name}",)) for name, text in ITERABLES.items()),
    row("5 MB in one", ("/x/bodies/large",)),
    row("a generator with the request's context", ("/x/bodies/context?a=1",)),
    row("a generator past Werkzeug's encoding", ("/x/bodies/direct/bytes-generator",)),
    row("HEAD of a page", (Ask("/x/bodies/value/str", "HEAD"),)),
    row("HEAD of a generator", (Ask("/x/bodies/iterable/generator", "HEAD"),)),
    row("HTTP/1.0: a page", (Ask("/x/bodies/value/str", version="1.0"),)),
    row("HTTP/1.0: a generator", (Ask("/x/bodies/iterable/generator", version="1.0"),)),
    # Failures.
    row(
        "a generator that fails before its first chunk", ("/x/bodies/iterable/fails-first",), status
    ),
    row(
        "a generator that fails after its first chunk", ("/x/bodies/iterable/fails-later",), failure
    ),
    row("a generator that fails after 2.6 MB", ("/x/bodies/iterable/fails-late",), failure),
    row(
        "a generator that fails, with a Content-Length",
        ("/x/bodies/iterable/fails-later?length=100",),
        failure,
    ),
    row(
        "a generator that fails after an empty chunk",
        ("/x/bodies/iterable/empty-then-fails",),
        failure,
    ),
    row("fewer bytes than announced", ("/wsgi/too-short",), failure),
    row("a view that raises", ("/x/bodies/raises",), logs=("LookupError: nothing here",)),
    row("an error that the app handles", ("/x/bodies/handled",)),
    row("abort(404)", ("/x/bodies/abort/404",)),
    row("abort(503)", ("/x/bodies/abort/503",)),
    row("abort with a response", ("/x/bodies/abort-with-response",)),
    row(
        "5 MB for a client that accepts gzip",
        (Ask("/x/bodies/iterable/five-megabytes", headers=(("Accept-Encoding", "gzip"),)),),
        encoding,
        differs="compressed-responses",
    ),
    # Bytes-like chunks.
    row(
        "a generator of memoryviews",
        ("/x/bodies/iterable/memoryviews",),
        status_and_body,
        differs="bytes-like-bodies",
    ),
    row(
        "a generator of bytearrays",
        ("/x/bodies/iterable/bytearrays",),
        status_and_body,
        differs="bytes-like-bodies",
    ),
    row(
        "a generator of arrays",
        ("/x/bodies/iterable/arrays",),
        status_and_body,
        differs="bytes-like-bodies",
    ),
    # Closes and teardowns.
    closed("close() of an iterable", "/x/bodies/closing"),
    closed("call_on_close", "/x/bodies/on-close"),
    closed("finally in a generator", "/x/bodies/finally"),
    closed("teardown after a page", "/x/bodies/after"),
    closed("teardown after a stream", "/x/bodies/teardown-stream"),
    closed("teardown after an error", "/x/bodies/teardown-error"),
    closed("close() in plain WSGI", "/wsgi/closed"),
    row(
        "close() of an iterable that fails",
        ("/x/bodies/closing/{token}?fails=1", "/x/bodies/closed/{token}"),
        failure,
    ),
    # Files.
    *(row(text, (f"/x/bodies/file/{name}",), DATED) for name, text in FILES.items()),
    row("send_file as an attachment", ("/x/bodies/attachment",)),
    row("send_file of a file that is deleted meanwhile", ("/x/bodies/removed",)),
    row("send_file with validators", ("/x/bodies/conditional",)),
    row(
        "send_file that is not modified",
        (Ask("/x/bodies/conditional", headers=(("If-None-Match", '"fixed"'),)),),
        with_headers("ETag", "Cache-Control"),
    ),
    row(
        "send_file, If-Modified-Since",
        (
            Ask(
                "/x/bodies/conditional",
                headers=(("If-Modified-Since", "Wed, 15 Nov 2023 00:00:00 GMT"),),
            ),
        ),
        with_headers("ETag", "Cache-Control"),
    ),
    row("send_from_directory", ("/x/bodies/directory/whole.txt",), DATED),
    row("send_from_directory, missing", ("/x/bodies/directory/missing",)),
    row("send_from_directory, outside", ("/x/bodies/directory/..%2f..%2fetc%2fpasswd",), status),
    *(
        row(f"send_file: {text}", (Ask("/x/bodies/file/path", headers=(("Range", value),)),), DATED)
        for text, value in RANGES.items()
    ),
    row(
        "a range, If-Range does not match",
        (
            Ask(
                "/x/bodies/conditional",
                headers=(("Range", "bytes=0-9"), ("If-Range", '"other"')),
            ),
        ),
    ),
    row(
        "a range of a page that the app makes",
        (Ask("/x/bodies/range-of-bytesio", headers=(("Range", "bytes=5-9"),)),),
        with_headers("Content-Length", "Content-Range"),
    ),
    row(
        "a range of a BytesIO",
        (Ask("/x/bodies/file/bytesio", headers=(("Range", "bytes=5-9"),)),),
        DATED,
    ),
    row("wrap_file", ("/x/bodies/wrapped",)),
    row("Werkzeug's FileWrapper", ("/x/bodies/werkzeugs-wrapper",)),
    # Redirects.
    row("redirect(url_for(...))", ("/x/bodies/redirect",)),
    row("the slash at the end is added", ("/x/bodies/slash?a=b",)),
    # Plain WSGI.
    row("WSGI: write()", ("/wsgi/write",)),
    row("WSGI: start_response at the first chunk", ("/wsgi/late",)),
    row("WSGI: start_response again, with exc_info", ("/wsgi/again",)),
    row("WSGI: wsgi.file_wrapper", ("/wsgi/wrapper",)),
    row("WSGI: fails before start_response", ("/wsgi/raises",), status),
    row("WSGI: fails after start_response", ("/wsgi/raises-after-start",), status),
    row("WSGI: start_response is never called", ("/wsgi/never-started",), failure),
    row("WSGI: types in environ", ("/wsgi/keys",)),
    row("WSGI: wsgi.errors", ("/wsgi/errors",), logs=("^ERRORS written$", "^ERRORS listed$")),
)
