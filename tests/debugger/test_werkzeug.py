"""What the debugger takes from Werkzeug 3.1: public names, but nowhere documented.

When one of these fails, Werkzeug has changed: read its release notes, and adapt
``deploy/worker/debugger.py`` before the version in deploy/server/loading.py is made wider.
"""

import inspect
import pkgutil
import sys
from contextvars import Context
from importlib.metadata import version

import pytest
from werkzeug import debug
from werkzeug.debug import DebuggedApplication
from werkzeug.debug.console import Console, ThreadedStream
from werkzeug.debug.tbtools import DebugFrameSummary, DebugTraceback

from deploy.worker.debugger import Debugger


def test_this_is_the_werkzeug_that_the_debugger_was_written_for():
    assert version("werkzeug").startswith("3.1."), "see the text at the top of this file"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (DebuggedApplication.__init__, "self app evalex request_key console_path console_init_func"
         " show_hidden_frames pin_security pin_logging"),
        (DebuggedApplication.__call__, "self environ start_response"),
        (DebuggedApplication.debug_application, "self environ start_response"),
        (DebuggedApplication.get_resource, "self request filename"),
        (DebuggedApplication.check_host_trust, "self environ"),
        (DebuggedApplication.check_pin_trust, "self environ"),
        (DebuggedApplication.pin_auth, "self request"),
        (DebugTraceback.__init__, "self exc te skip hide"),
        (DebugTraceback.render_traceback_text, "self"),
        (DebugTraceback.render_debugger_html, "self evalex secret evalex_trusted"),
        (DebugFrameSummary.eval, "self code"),
        (ThreadedStream.push, ""),
    ],
)  # fmt: skip
def test_a_method_that_is_used_or_replaced_takes_the_same_arguments(function, parameters):
    assert list(inspect.signature(function).parameters) == parameters.split()


def test_no_other_method_answers_a_request():
    """Those of the stock debugger that are not replaced or used here must not be reached."""
    public = {name for name in vars(DebuggedApplication) if not name.startswith("_")}
    assert public == {
        "debug_application", "pin_auth", "pin_cookie_name", "check_pin_trust",  # replaced
        "get_resource", "check_host_trust", "pin",  # used
        "execute_command", "display_console", "log_pin_request",  # never called
    }  # fmt: skip
    replaced = {"debug_application", "pin_auth", "pin_cookie_name", "check_pin_trust", "__call__"}
    assert replaced <= set(vars(Debugger))


def test_a_page_has_the_secret_and_the_ids_of_its_frames():
    try:
        raise ValueError
    except ValueError as error:
        traceback = DebugTraceback(error)
    html = traceback.render_debugger_html(evalex=True, secret="a-secret", evalex_trusted=False)
    assert 'SECRET = "a-secret"' in html
    for frame in traceback.all_frames:
        assert f'id="frame-{id(frame)}"' in html


def test_the_page_sends_its_secret_with_everything_and_a_frame_with_each_command():
    script = pkgutil.get_data(debug.__name__, "shared/debugger.js").decode()
    for line in (
        'params.set("s", SECRET)',
        "return `?__debugger__=yes&${params}`",
        "fetch(makeDebugURL({cmd: command.value, frm: frameID}))",
        'makeDebugURL({cmd: "pinauth", pin: this.pin.value})',
        'makeDebugURL({cmd: "printpin"})',
        'makeDebugURL({cmd: "resource", f: "console.png"})',
    ):
        assert line in script


def test_a_console_can_be_replaced_and_its_names_taken_over():
    frame = DebugFrameSummary(filename="x", lineno=1, name="x", locals={}, globals={})
    frame.eval("mine = 1")
    frame.eval("if True:")
    frame.console = Console(frame.console._ipy.locals)
    assert frame.eval("mine + 1").startswith(">>> mine + 1\n")


def test_a_stream_that_is_in_place_stays_in_place_after_a_command(monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    Context().run(ThreadedStream.push)
    stream = sys.stdout
    frame = DebugFrameSummary(filename="x", lineno=1, name="x", locals={}, globals={})
    assert "shown" in Context().run(frame.eval, "print('shown')")
    assert sys.stdout is stream
