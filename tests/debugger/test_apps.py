"""Any app in MOUNTS can be debugged, as it is, and is otherwise served as without a debugger."""

import psutil
import pytest

from tests.debugger.debugged_uwsgi import until

SMALL = ("--workers=2", "--threads=2")


@pytest.mark.parametrize("target", ["failing:app", "failing:create_app()", "failing:hidden"])
@pytest.mark.parametrize("lazy", [False, True], ids=["prefork", "lazy-apps"])
def test_an_app_a_factory_and_an_app_inside_middleware_are_debugged(uwsgi, target, lazy):
    server = uwsgi(mounts=f"/path={target}", options=(*SMALL, *["--lazy-apps"] * lazy))
    page = server.fail("/path/view/a-token")
    assert page.evaluate("token") == "&#39;a-token&#39;"
    assert "the app&#x27;s own 500 page" not in page.response.text


def test_several_mounts_are_debugged_each_under_its_own_path(uwsgi):
    server = uwsgi(
        mounts="/path=failing:app /a/b=failing:create_app() /=failing:app", options=SMALL
    )
    for path, root in (("/path/view/x", "/path"), ("/a/b/view/x", "/a/b"), ("/view/x", "")):
        page = server.fail(path)
        assert page.evaluate("request.script_root") == f"&#39;{root}&#39;"
        assert server.get(path.replace("view", "fine")).text == "x"


def test_a_path_named_console_belongs_to_the_app(shared_server):
    assert shared_server.get("/path/console").text == "the app's own console"


def test_the_apps_own_handler_of_an_exception_stays(shared_server):
    response = shared_server.get("/path/handled")
    assert (response.status, response.text) == (418, "the app's own handler")


def test_a_missing_page_is_the_apps_404_and_not_a_traceback(shared_server):
    response = shared_server.get("/path/nothing")
    assert response.status == 404
    assert "__debugger__" not in response.text


def test_nothing_is_left_of_a_response_that_failed_before_its_first_chunk(shared_server):
    page = shared_server.fail("/path/generator/a-token")
    assert page.response.headers["X-From-The-App"] is None
    assert page.response.headers.get_all("Content-Type") == ["text/html; charset=utf-8"]
    assert page.evaluate("token") == "&#39;a-token&#39;"


def test_a_response_that_fails_after_its_first_chunk_ends_there_and_is_in_the_log(uwsgi):
    server = uwsgi(options=SMALL)
    response = server.get("/path/late-generator/a-token")
    assert (response.status, response.text) == (200, "first chunk,")
    until(lambda: "RuntimeError: after the first chunk, a-token" in server.log, "it is in the log")
    assert "The response had begun, so there is no page." in server.log
    assert server.get("/path/fine/x").text == "x"


def test_a_response_is_closed_once(uwsgi):
    server = uwsgi(options=SMALL)
    assert server.get("/path/close/well").text == "all of the response,"
    until(lambda: server.runs, "it is closed")
    assert server.get("/path/close/fail").text == "all of the response,"
    until(lambda: "RuntimeError: while closing" in server.log, "the failure is in the log")
    assert server.runs == 2


def test_a_response_is_closed_when_its_client_goes_away(uwsgi):
    server = uwsgi(options=("--workers=1", "--threads=1"))
    with server.leave_early("/path/endless-stream"):
        assert server.runs == 0
    until(lambda: server.runs == 1, "the app hears of it")
    assert server.get("/path/fine/x").text == "x"


def test_a_traceback_is_in_the_log_before_its_page_is_sent(uwsgi):
    server = uwsgi(options=SMALL)
    for number in range(5):
        server.fail(f"/path/view/{number}", pin=None)
        assert f"ValueError: in a view, {number}\n" in server.log
    assert server.log.count("Traceback (most recent call last)") == 5


def test_a_session_works_as_without_a_debugger(shared_server):
    cookie = shared_server.get("/path/login/ada").headers["Set-Cookie"].partition(";")[0]
    page = shared_server.fail("/path/view/a-token", {"Cookie": cookie})
    page.cookie += "; session=invalid"
    assert page.evaluate("__import__('flask').session['name']") == "&#39;ada&#39;"


@pytest.mark.parametrize("target", ["stock:app", "stock:wrapped"])
def test_an_app_with_a_debugger_of_its_own_is_refused(rejected, target):
    log = rejected(mounts=f"/path={target}", options=SMALL)
    assert "the app wraps itself in a DebuggedApplication of its own" in log


# One worker: with two, each writes its traceback, and the first to end takes the other along.
LAZY = ("--workers=1", "--threads=4", "--lazy-apps")


@pytest.mark.parametrize("options", [SMALL, LAZY], ids=["prefork", "lazy-apps"])
def test_an_app_that_cannot_be_imported_ends_the_start_with_its_traceback(rejected, options):
    log = rejected(mounts="/path=missing:app", options=options)
    assert "ModuleNotFoundError: No module named 'missing'" in log


def test_a_file_is_sent_whole_and_not_line_by_line(shared_server):
    def writes():
        return sum(psutil.Process(pid).io_counters().write_count for pid in shared_server.workers())

    before = writes()
    response = shared_server.get("/path/file")
    assert (response.status, response.text) == (200, "\n" * 1_000_000)
    assert writes() - before < 10_000
