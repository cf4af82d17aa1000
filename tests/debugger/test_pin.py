"""Who may use a console: whoever has the PIN, on a host name that is ours."""

import random
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.worker.debugger import trusted_hosts
from tests.debugger.debugged_uwsgi import PIN

BANNER = "this instance runs any code for whoever has the PIN"
MADE_HERE = {"WERKZEUG_DEBUG_PIN": ""}
SMALL = ("--workers=2", "--threads=2")
LAZY = (*SMALL, "--lazy-apps")


def pin_in(log):
    return log.partition("Debugger PIN: ")[2].split("\n")[0]


@pytest.mark.parametrize("options", [SMALL, LAZY], ids=["prefork", "lazy-apps"])
def test_the_pin_is_shown_once_and_is_the_same_in_all_workers_and_after_a_reload(uwsgi, options):
    server = uwsgi(options=options, environment=MADE_HERE)
    for page in server.fail_in_all_workers():
        assert page.enter(pin_in(server.log)) == {"auth": True, "exhausted": False}
    server.reload()
    for page in server.fail_in_all_workers():
        assert page.enter(pin_in(server.log)) == {"auth": True, "exhausted": False}
    assert server.log.count(BANNER) == server.log.count(pin_in(server.log)) == 1
    assert page.ask(cmd="printpin").text == "", "a stranger's click writes into the log"
    assert server.log.count(pin_in(server.log)) == 1


def test_the_pin_is_the_same_after_a_restart_and_another_for_other_mounts(uwsgi):
    pins = []
    for mounts in ("/path=failing:app", "/path=failing:app", "/other=failing:app"):
        server = uwsgi(mounts=mounts, options=SMALL, environment=MADE_HERE)
        pins.append(pin_in(server.log))
        server.stop()
    assert [len(pin.replace("-", "")) for pin in pins] == [9, 9, 9]
    assert pins[0] == pins[1] != pins[2]


@pytest.mark.parametrize("pin", ["12345", "123-456-789", "000000"])
def test_a_pin_of_ones_own_is_taken_with_and_without_dashes(uwsgi, pin):
    server = uwsgi(options=SMALL, environment={"WERKZEUG_DEBUG_PIN": pin})
    for written in (pin, pin.replace("-", ""), f" {pin[:2]}-{pin[2:]} "):
        page = server.fail("/path/view/a-token", pin=written)
        assert page.evaluate("token") == "&#39;a-token&#39;"


@pytest.mark.parametrize("pin", ["off", "OFF", "none", "-", "---", "12a4", "١٢٣٤", "²²²"])
def test_the_pin_cannot_be_switched_off_nor_be_anything_else_than_digits(refused, pin):
    log = refused(options=SMALL, environment={"WERKZEUG_DEBUG_PIN": pin})
    assert f"WERKZEUG_DEBUG_PIN is {pin!r}; write digits" in log


@pytest.mark.parametrize("options", [SMALL, LAZY], ids=["prefork", "lazy-apps"])
def test_ten_wrong_pins_in_all_workers_together_are_the_last_ones(uwsgi, options):
    server = uwsgi(options=options, mounts="/path=failing:app /other=failing:create_app()")
    pages = server.fail_in_all_workers() + server.fail_in_all_workers("/other/view/a-token")
    random.shuffle(pages)
    insider = server.fail("/path/view/insider")
    for page in pages[:10]:
        assert page.enter("1234") == {"auth": False, "exhausted": False}
    for page in pages[10:]:
        assert page.enter(PIN) == {"auth": False, "exhausted": True}
    server.reload()
    late = server.fail("/other/view/late", pin=None)
    assert late.enter(PIN) == {"auth": False, "exhausted": True}
    late.cookie = insider.cookie
    assert late.evaluate("token") == "&#39;late&#39;", "a stranger has locked out who is in already"


def test_the_right_pin_forgives_wrong_ones_before_it(uwsgi):
    server = uwsgi(options=SMALL)
    for _ in range(3):
        page = server.fail("/path/view/a-token", pin=None)
        for n in range(9):
            assert page.enter(f"{n}") == {"auth": False, "exhausted": False}
        assert page.enter(PIN) == {"auth": True, "exhausted": False}


def test_guesses_at_once_are_not_more_guesses_and_tie_up_no_threads(uwsgi):
    server = uwsgi(options=("--workers=4", "--threads=4"))
    pages = server.fail_in_all_workers()
    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        guesses = list(pool.map(lambda n: pages[n % len(pages)].enter(f"{n}"), range(200)))
    assert sum(not guess["exhausted"] for guess in guesses) == 10
    assert not any(guess["auth"] for guess in guesses)
    assert time.monotonic() - began < 10, "guesses have made the threads wait"


@pytest.mark.parametrize(
    "pin", ["", "x", "123-456-78", "123-456-7890", "\uff11\uff12\uff13456789", "\0", "9" * 9999]
)
def test_a_wrong_pin_opens_nothing(uwsgi, pin):
    page = uwsgi(options=SMALL).fail("/path/view/a-token", pin=None)
    answer = page.ask(cmd="pinauth", pin=pin)
    assert (answer.text, answer.headers["Set-Cookie"]) == (
        '{"auth": false, "exhausted": false}',
        None,
    )
    assert page.ask(cmd="pinauth").text == '{"auth": false, "exhausted": false}'
    assert not page.is_trusted
    assert page.command("token").status == 403


def test_one_pin_opens_the_consoles_of_all_mounts(uwsgi):
    server = uwsgi(
        mounts="/path=failing:app /a/b=failing:create_app() /=failing:app", options=SMALL
    )
    first = server.fail("/path/view/first")
    set_cookie = first.ask(cmd="pinauth", pin=PIN).headers["Set-Cookie"]
    for attribute in ("HttpOnly", "Path=/", "SameSite=Strict"):
        assert attribute in set_cookie.split("; ")
    for path in ("/path/view/x", "/a/b/view/x", "/view/x"):
        answer = server.get(path, {"Cookie": first.cookie})
        assert "EVALEX_TRUSTED = true" in answer.text
        page = server.fail(path, pin=None)
        page.cookie = first.cookie
        assert page.evaluate("token") == "&#39;x&#39;"


@pytest.mark.parametrize(
    ("server_names", "trusted", "untrusted"),
    [
        (
            "",
            ["localhost", "app.localhost:80", "127.0.0.1:8080"],
            ["staging.example.com", "10.0.0.1", "127.0.0.1.example.com"],
        ),
        (
            "staging.example.com",
            ["staging.example.com", "staging.example.com:8443"],
            ["localhost", "127.0.0.1", "example.com", "a.staging.example.com"],
        ),
        (
            "one.example *.Example.com",
            ["one.example", "a.example.com", "a.b.example.com"],
            ["example.org", "badexample.com", "two.example"],
        ),
    ],
)
def test_consoles_work_at_the_names_in_server_names_and_at_no_other(
    uwsgi, server_names, trusted, untrusted
):
    server = uwsgi(options=SMALL, environment={"SERVER_NAMES": server_names})
    cookie = None
    for name in trusted:
        page = server.fail("/path/view/a-token", {"Host": name}, pin=None)
        assert page.has_consoles, name
        assert page.enter(PIN, Host=name)["auth"], name
        cookie = page.cookie
        answer = page.command("token", Host=name)
        assert answer.status == 200
        assert "a-token" in answer.text
    for name in untrusted:
        page = server.fail("/path/view/a-token", {"Host": name}, pin=None)
        assert not page.has_consoles, name
        assert page.ask(cmd="pinauth", pin=PIN, headers={"Host": name}).status == 400
        page.cookie = cookie
        assert page.command("token", Host=name).status == 400, name


def test_no_value_of_server_names_trusts_every_host():
    # To Werkzeug, an empty list means every host.
    assert trusted_hosts("") == trusted_hosts("  ") == [".localhost", "127.0.0.1"]
    assert trusted_hosts("a.example *.b.example") == ["a.example", ".b.example"]


def test_the_workers_meet_in_a_directory_that_only_this_user_can_enter(uwsgi, tmp_path):
    server = uwsgi(options=SMALL, environment={"TMPDIR": str(tmp_path)})
    page = server.fail("/path/view/a-token")
    socket = next(tmp_path.glob(f"debugger-*/{page.owner}"))
    assert socket.is_socket()
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_the_directory_of_a_uwsgi_that_has_ended_is_removed_by_the_next_one(uwsgi, tmp_path):
    def directories():
        return {path.name.split("-")[2] for path in tmp_path.glob("debugger-*")}

    first = uwsgi(options=SMALL, environment={"TMPDIR": str(tmp_path)})
    second = uwsgi(options=SMALL, environment={"TMPDIR": str(tmp_path)})
    assert directories() == {str(first.process.pid), str(second.process.pid)}
    first.stop()
    third = uwsgi(options=SMALL, environment={"TMPDIR": str(tmp_path)})
    assert directories() == {str(second.process.pid), str(third.process.pid)}


def test_a_directory_that_somebody_else_has_made_is_refused(monkeypatch, tmp_path):
    from deploy.refusal import Refusal
    from deploy.worker.handover import Handover

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Handover(1).directory
    assert Handover(1).directory == made, "a reload does not find its own directory again"
    made.chmod(0o755)
    with pytest.raises(Refusal, match="not a private directory"):
        Handover(1)
    made.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    made.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="not a private directory"):
        Handover(1)


def test_a_directory_that_is_too_deep_for_a_socket_is_refused_at_the_start(refused, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    log = refused(options=SMALL, environment={"TMPDIR": str(deep)})
    assert f"TMPDIR is {str(deep)!r}, too long for a unix socket" in log
