"""What a console can do, and what it must not do to the worker it runs in."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.debugger.debugged_uwsgi import PIN


@pytest.mark.parametrize(
    ("command", "exception"),
    [
        ("exit()", "SystemExit: None"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_leaving_the_console_is_reported_and_not_obeyed(shared_server, command, exception):
    page = shared_server.fail("/path/view/a-token")
    workers = shared_server.workers()
    page.evaluate("mine = 1")
    response = page.command(command)
    assert response.status == 200
    assert f"{exception}\nThe worker goes on." in response.text
    assert page.evaluate("token, mine") == "(&#39;a-token&#39;, 1)"
    assert shared_server.workers() == workers


def test_leaving_the_console_in_the_middle_of_a_block_leaves_no_rest_of_it(shared_server):
    page = shared_server.fail("/path/view/a-token")
    for line in ("if True:", "    exit()", ""):
        page.command(line)
    assert page.evaluate("token") == "&#39;a-token&#39;"


def test_a_console_remembers_and_goes_on_over_several_lines(shared_server):
    page = shared_server.fail("/path/view/a-token")
    for line in ("def twice(x):", "    return x * 2", "", "result = twice(token)"):
        page.command(line)
    assert page.evaluate("result") == "&#39;a-tokena-token&#39;"
    assert page.evaluate("_ + '!'") == "&#39;a-tokena-token!&#39;"
    assert "ZeroDivisionError" in page.evaluate("1 / 0")


def test_a_syntax_error_is_shown_and_leaves_nothing_behind(shared_server):
    page = shared_server.fail("/path/view/a-token")
    page.evaluate("mine = 1")
    assert "SyntaxError: invalid syntax" in page.evaluate("1 +* 2")
    for line in ("if True:", "    1 +* 2"):
        response = page.command(line)
    assert "SyntaxError: invalid syntax" in response.text
    assert page.evaluate("token, mine") == "(&#39;a-token&#39;, 1)"


def test_names_that_are_commands_of_the_page_are_names_in_a_console(shared_server):
    page = shared_server.fail("/path/view/a-token")
    for name in ("resource", "pinauth", "printpin"):
        assert f"name &#39;{name}&#39; is not defined" in page.evaluate(name)


def test_overlapping_commands_on_one_traceback_queue(shared_server):
    page = shared_server.fail("/path/view/a-token")
    page.evaluate("inside, most = [], []")
    together = (
        "inside.append(1); most.append(len(inside)); __import__('time').sleep(0.01); inside.pop()"
    )
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(page.command, [together] * 40))
    assert {response.status for response in responses} == {200}
    assert page.evaluate("len(most), max(most)") == "(40, 1)"


def test_overlapping_commands_on_several_tracebacks_each_show_what_they_print(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=8"))
    pages = [server.fail(f"/path/view/{n}") for n in range(8)]

    def print_and_fail(number):
        return pages[number % 8].evaluate(f"[print({number}, i) for i in range(300)] and 1 / 0")

    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(print_and_fail, range(160)))
    for number, text in enumerate(shown):
        assert text.startswith("".join(f"{number} {i}\n" for i in range(300)))
        assert "ZeroDivisionError" in text


def test_what_the_app_prints_after_a_command_still_goes_to_the_log(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=1"), environment={"PYTHONUNBUFFERED": "1"})
    page = server.fail("/path/view/a-token")
    page.evaluate("print('shown in the console')")
    server.get("/path/print/shown-in-the-log")
    assert "shown-in-the-log" in server.log
    assert "shown in the console" not in server.log


@pytest.mark.slow
def test_an_endless_loop_in_one_console_blocks_no_other(uwsgi, users, tmp_path):
    server = uwsgi(options=("--workers=2", "--threads=4"))
    looping, *others = [server.fail(f"/path/view/{n}") for n in range(8)]
    while looping.owner not in {other.owner for other in others}:
        others.append(server.fail(f"/path/view/{len(others) + 1}"))
    end = tmp_path / "end"
    loop = f"while not __import__('os').path.exists('{end}'): sum(range(10_000))"
    with ThreadPoolExecutor(1) as pool, users(server, 1) as visitors:
        try:
            response = pool.submit(looping.command, loop)
            for number, other in enumerate(others, 1):
                for _ in range(4):
                    assert other.evaluate("token") == f"&#39;{number}&#39;"
            assert not response.done()
            second = looping.command("token")
            assert (second.status, second.text) == (
                503, "An earlier command on this page is still running.",
            )  # fmt: skip
        finally:
            end.touch()
        assert response.result(60).status == 200
    assert looping.evaluate("token") == "&#39;0&#39;"
    assert visitors.right
    assert not visitors.wrong


def test_the_request_in_a_console_is_the_failed_one_and_not_a_later_one(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=1"))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    page = server.fail("/path/body/first?a=1", form | {"X-Who": "first"}, b"who=first&more=1")
    server.get("/path/fine/x?a=2", {"X-Who": "second", "Cookie": "who=second"})
    server.fail("/path/body/third", form | {"X-Who": "third"}, b"who=third")
    for expression, value in {
        "request.headers['X-Who']": "&#39;first&#39;",
        "request.full_path": "&#39;/body/first?a=1&#39;",
        "request.script_root": "&#39;/path&#39;",
        "request.form['who']": "&#39;first&#39;",
        "request.environ['HTTP_X_WHO']": "&#39;first&#39;",
        "request.cookies.get('who')": "",
        "__import__('flask').url_for('fine', token=token)": "&#39;/path/fine/first&#39;",
    }.items():
        assert page.evaluate(expression) == value, expression


def test_a_body_that_was_not_read_is_kept_up_to_a_mebibyte(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=1"))
    whole = server.fail("/path/body/x", body=b"a" * 1_000_000)
    too_long = server.fail("/path/body/x", body=b"b" * 1_500_000)
    assert whole.evaluate("len(request.get_data()), request.data.count(97)") == "(1000000, 1000000)"
    assert "ClientDisconnected" in too_long.evaluate("len(request.get_data())")
    assert too_long.evaluate("request.environ['wsgi.input'].tell()") == str(1024 * 1024)


def test_a_body_that_was_half_read_goes_on_where_the_view_stopped(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=1"))
    page = server.fail("/path/half-read-body/x", body=b"0123456789the rest")
    server.fail("/path/half-read-body/y", body=b"9876543210somebody else's")
    assert page.evaluate("begin") == "b&#39;0123456789&#39;"
    assert page.evaluate("request.stream.read()") == "b&#39;the rest&#39;"


def test_a_long_command_works_up_to_the_servers_own_limit(uwsgi):
    """That is half of ``buffer-size``: uWSGI gets the query once more as a part of REQUEST_URI."""
    server = uwsgi(options=("--workers=2", "--threads=1"))
    pages = server.fail_in_all_workers()
    for page in pages:
        page.enter(PIN)
        for length in (2_000, 8_000, 32_000):
            assert page.evaluate(f"len('{'x' * length}')") == str(length)
        for length in (33_000, 60_000):
            assert page.command(f"len('{'x' * length}')").status == 414
    assert server.runs == len(pages), "a command that was too long has run the view again"


def test_what_utf8_cannot_say_is_shown_all_the_same(shared_server):
    page = shared_server.fail("/path/surrogate")
    assert "half a pair: " in page.response.text
    assert page.evaluate("print('grüße \\udcff', 1)") == "grüße ? 1"


def test_the_answer_to_a_command_is_not_kept_by_any_cache(shared_server):
    page = shared_server.fail("/path/view/a-token")
    for response in (page.response, page.command("1"), page.ask(cmd="1", frm="1")):
        assert response.headers["Cache-Control"] == "no-store"
