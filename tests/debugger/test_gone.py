"""A command without its traceback gets an error status, and never reaches the app."""

import os
import signal
import socket
from collections import Counter
from urllib.parse import quote

import pytest

from tests.debugger.debugged_uwsgi import PIN, until


@pytest.fixture
def failed_once(uwsgi):
    """The page of a request that failed. Whatever is done with it, its view runs no second time."""
    page = uwsgi().fail("/path/view/a-token")
    yield page
    assert page.server.runs == 1, "a command has run the view again"


def test_an_unknown_frame_is_gone(failed_once):
    for frame in ("1", "-1", "0", "", "x", str(2**80)):
        response = failed_once.ask(cmd="token", frm=frame)
        assert (response.status, response.text[:27]) == (410, "This traceback is gone: the")


def test_a_wrong_secret_is_gone(failed_once):
    owner, master = failed_once.owner, failed_once.server.process.pid
    never_given = ["", "x", "-", "0-x", "1-x", "-1-x", "99999999-x", "9" * 500 + "-x", "\0", "²-x"]
    paths = ["..-x", "../starts", "../starts-x"]
    almost = [f"{owner}", f"{owner}-", f"{owner}-x", f"{master}-x", failed_once.secret[:-1]]
    for secret in never_given + paths + almost:
        for arguments in (
            {"cmd": "1 + 1", "frm": failed_once.frames[-1]},
            {"cmd": "pinauth", "pin": PIN},
            {"cmd": "printpin"},
            {"cmd": "anything else"},
            {},
        ):
            assert failed_once.ask(**arguments, s=secret).status == 410, (secret, arguments)


def test_a_command_without_the_pin_is_forbidden(failed_once):
    cookie, failed_once.cookie = failed_once.cookie, ""
    name = cookie.partition("=")[0]
    spoofed = [
        f"{name}={value}" for value in ("", "x", "|", "9999999999|", "9999999999|" + "0" * 12)
    ]
    for header in ("", "other=1", *spoofed):
        for _ in range(8):  # so that most come to another worker
            assert failed_once.command("1 + 1", Cookie=header).status == 403, header
    failed_once.cookie = cookie
    assert failed_once.evaluate("token") == "&#39;a-token&#39;"


def test_a_command_for_another_host_is_refused(failed_once):
    for host in ("staging.example.com", "127.0.0.1.example.com", "", "127.0.0.1, localhost"):
        assert failed_once.command("1 + 1", Host=host).status == 400, host


def test_arguments_spelt_in_another_way_are_arguments_all_the_same(failed_once):
    secret, frame = failed_once.secret, failed_once.frames[-1]
    for query in (
        f"__debugger%5F%5F=yes&cmd=token&frm={frame}&s={secret}",
        f"a=b&cmd=token&frm={frame}&s={secret}&%5F_debugger__=%79es",
        f"__debugger__=yes&__debugger__=no&cmd=token&frm={frame}&s={secret}",
    ):
        response = failed_once.server.get(
            f"{failed_once.path}?{query}", {"Cookie": failed_once.cookie}
        )
        assert response.status == 200
        assert "a-token" in response.text


def test_the_page_of_a_killed_worker_is_gone_and_a_new_one_works(uwsgi):
    server = uwsgi()
    page = server.fail("/path/view/before")
    os.kill(page.owner, signal.SIGKILL)
    until(lambda: server.accepting == 5, "another worker has come for it")
    for _ in range(8):
        assert page.command("token").status == 410
    assert server.fail("/path/view/after").evaluate("token") == "&#39;after&#39;"
    assert server.runs == 2


@pytest.mark.parametrize("lazy", [False, True], ids=["prefork", "lazy-apps"])
def test_the_pages_from_before_a_reload_are_gone_and_new_ones_work(uwsgi, lazy):
    server = uwsgi(options=("--workers=2", "--threads=2", *["--lazy-apps"] * lazy))
    old = server.fail("/path/view/before")
    server.reload()
    for _ in range(4):
        assert old.command("token").status == 410
    new = server.fail("/path/view/after", pin=None)
    new.cookie = old.cookie  # the PIN is the same, and so is the cookie
    assert new.evaluate("token") == "&#39;after&#39;"
    assert server.runs == 2


def test_the_pages_of_a_recycled_worker_are_gone_and_new_ones_work(uwsgi):
    # Recycled after 10 requests, if it has lived for a second.
    server = uwsgi(
        options=("--workers=2", "--threads=2", "--max-requests=10", "--min-worker-lifetime=1")
    )
    page = server.fail("/path/view/before")
    asked = Counter()

    def recycled():
        asked[int(server.get("/path/worker").text)] += 1
        # And the next requests recycle no other.
        return page.owner not in server.workers() and all(asked[w] < 5 for w in server.workers())

    until(recycled, "recycled")
    assert page.command("token").status == 410
    server.fail("/path/view/after")
    assert server.runs == 2


def test_the_newest_500_frames_are_kept_and_older_ones_are_gone(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=2"))
    pages = [server.fail(f"/path/view/{n}", pin=None) for n in range(90)]
    pages[-1].enter(PIN)
    for page in pages:
        page.cookie = pages[-1].cookie
    alive = [page.command("token").status == 200 for page in pages]
    kept = sum(alive)
    assert alive == [False] * (90 - kept) + [True] * kept, "it is not the oldest that were dropped"
    assert 500 - len(pages[0].frames) < kept * len(pages[0].frames) <= 500


def test_a_traceback_deeper_than_what_is_kept_is_kept_whole(uwsgi):
    page = uwsgi(options=("--workers=1", "--threads=2")).fail("/path/endless/deep")
    assert len(page.frames) > 900
    for frame in (0, 100, -1):
        assert page.command("1 + 1", frame).status == 200


def test_a_frame_of_the_same_number_in_another_worker_is_not_taken_for_it(uwsgi):
    """Forked workers have the same heap, so their frames have the same ``id()`` again and again."""
    server = uwsgi()
    pages = [server.fail(f"/path/view/{n}") for n in range(16)]
    whose = "__import__('flask').request.view_args"
    for number, page in enumerate(pages):
        for other in pages:
            response = page.ask(cmd=whose, frm=other.frames[-1])
            if response.status == 200:  # two numbers that are the same
                assert f"&#39;{number}&#39;" in response.text
            else:
                assert response.status == 410


def test_pictures_and_scripts_come_from_any_worker_also_when_the_owner_is_dead(failed_once):
    os.kill(failed_once.owner, signal.SIGKILL)
    for name, type_ in (
        ("debugger.js", "text/javascript"), ("style.css", "text/css"), ("console.png", "image/png"),
    ):  # fmt: skip
        response = failed_once.server.get(f"/path/view/x?__debugger__=yes&cmd=resource&f={name}")
        assert (response.status, response.headers.get_content_type()) == (200, type_)
    for name in ("", "nothing.js", "../__init__.py", quote("../console.py", safe="")):
        response = failed_once.server.get(f"/path/?__debugger__=yes&cmd=resource&f={name}")
        assert response.status == 404, name


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cmd=resource&f=a%00", 404),
        ("cmd=resource&f=%00", 404),
        ("cmd=resource&f=" + "a" * 5000, 404),
        ("cmd=resource&f=..", 404),
        ("cmd=resource&f=.", 404),
        ("cmd=resource&f=../", 404),
        ("cmd=resource&f=../../../../etc/passwd", 404),
        ("cmd=resource&f=%ff%fe", 404),
        ("cmd=resource&f=\xff", 404),
        ("cmd=resource&f=%ED%A0%80", 404),
        ("cmd=resource&f", 404),
        ("cmd=resource", 404),
        ("", 410),
        ("cmd=", 410),
        ("cmd=\xff", 410),
        ("cmd=pinauth", 410),
        ("cmd=pinauth&s=", 410),
        ("cmd=printpin&s=%00", 410),
        ("s=" + "9" * 6000, 410),
        ("s=-1-x", 410),
        ("s=1e5-x", 410),
        ("s=%EF%BC%91-x", 410),
        ("s=\xff-x", 410),
        ("s={owner}-%00", 410),
        ("s={secret}&frm={frame}&cmd=1", 403),
        ("s={secret}&frm=" + "9" * 6000, 403),
        ("s={secret}&cmd=pinauth", 200),
        ("s={secret}&cmd=pinauth&pin=\xff", 200),
        ("s={secret}&cmd=pinauth&pin=%ED%A0%80", 200),
        ("s={secret}&cmd=pinauth&pin=%00", 200),
        ("signed in&s={secret}&frm=" + "9" * 6000 + "&cmd=1", 410),
        ("signed in&s={secret}&frm=-1&cmd=1", 410),
        ("signed in&s={secret}&frm=1e9&cmd=1", 410),
        ("signed in&s={secret}&frm=%00&cmd=1", 410),
        ("signed in&s={secret}&cmd=1", 410),
        ("signed in&s={secret}&frm={frame}", 200),
        ("signed in&s={secret}&frm={frame}&cmd=%00", 200),
        ("signed in&s={secret}&frm={frame}&cmd='\xff'", 200),
        ("signed in&s={secret}&frm={frame}&cmd=%ED%A0%80", 200),
        ("signed in&s={secret}&frm={frame}&cmd=chr(55296)", 200),
        ("signed in&s={secret}&frm={frame}&cmd=" + "(" * 900, 200),
        ("signed in&s={secret}&frm={frame}&cmd=print(chr(0))", 200),
    ],
    ids=lambda value: str(value)[:50].encode("unicode_escape").decode(),
)
def test_any_input_to_the_debugger_has_a_status(shared_server, query, status):
    page = shared_server.fail("/path/view/a-token")
    query = query.format(secret=page.secret, frame=page.frames[-1], owner=page.owner)
    headers = {"Cookie": page.cookie} if query.startswith("signed in") else {}
    query = query.removeprefix("signed in&")
    for _ in range(4):  # so that some come to another worker
        sent = f"GET /path/view/x?__debugger__=yes&{query} HTTP/1.0\r\nHost: localhost\r\n"
        sent += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as connection:
            connection.sendall(f"{sent}\r\n".encode("latin-1"))
            line = connection.makefile("rb").readline()
        assert line.split()[1:2] == [str(status).encode()], line


def test_raw_bytes_in_a_query_come_to_the_app_as_they_are(shared_server):
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=60) as connection:
        connection.sendall(b"GET /path/fine/x?a=\xff%FF HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.makefile("rb").readline().split()[1] == b"200"
