"""Access to a console: with the PIN, on a trusted host name."""

import random
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.settings.debugging import check_pin
from deploy.worker.debugger import trusted_hosts
from tests.debugger.debugged_uwsgi import PIN

BANNER = "the PIN allows code execution in this instance"
SMALL = ("--workers=2", "--threads=2")
LAZY = (*SMALL, "--lazy-apps")


def pin_in(log):
    return log.partition("Debugger PIN: ")[2].split("\n")[0]


@pytest.mark.parametrize("options", [SMALL, LAZY], ids=["prefork", "lazy-apps"])
def test_the_pin_is_shown_once_and_is_the_same_in_all_workers_and_after_a_reload(uwsgi, options):
    server = uwsgi(options=options, pin="")
    for page in server.fail_in_all_workers():
        assert page.enter(pin_in(server.log)) == {"auth": True, "exhausted": False}
    server.reload()
    for page in server.fail_in_all_workers():
        assert page.enter(pin_in(server.log)) == {"auth": True, "exhausted": False}
    assert server.log.count(BANNER) == server.log.count(pin_in(server.log)) == 1
    assert page.ask(cmd="printpin").text == "", "another client's click writes into the log"
    assert server.log.count(pin_in(server.log)) == 1


def test_each_start_has_a_random_pin_of_80_bits_and_cookies_of_its_own(uwsgi):
    starts = set()
    for _ in range(2):
        server = uwsgi(options=SMALL, pin="")
        assert re.fullmatch("[a-z2-7]{4}(-[a-z2-7]{4}){3}", pin_in(server.log))
        page = server.fail("/path/view/a-token", pin=pin_in(server.log))
        starts |= {pin_in(server.log), *page.cookie.split("=")}
        server.stop()
    assert len(starts) == 6, "a PIN, or a cookie's name or value, is the same after a restart"


def test_a_cookie_does_not_follow_from_the_pin(uwsgi):
    servers = [uwsgi(options=SMALL), uwsgi(options=SMALL)]
    cookies = [server.fail("/path/view/x").cookie for server in servers]
    for server, of_the_other in zip(servers, reversed(cookies), strict=True):
        page = server.fail("/path/view/x", pin=None)
        page.cookie = of_the_other
        assert page.command("token").status == 403


@pytest.mark.parametrize(
    "pin", ["abcd-2345-efgh-6789-ijkl", "1234567890" * 3, "0f" + "1a2b3c4d" * 4]
)
def test_a_pin_of_ones_own_is_taken_with_and_without_dashes(uwsgi, pin):
    check_pin(pin)
    server = uwsgi(options=SMALL, pin=pin)
    for written in (pin, pin.replace("-", ""), f" {pin[:2]}-{pin[2:]} "):
        page = server.fail("/path/view/a-token", pin=written)
        assert page.evaluate("token") == "&#39;a-token&#39;"


def wrong_cookies(page):
    """Cookies that come close to the right one, but for its value."""
    name, _, value = page.cookie.partition("=")
    begun, _, signature = value.partition("|")
    for wrong in (
        "",
        "x",
        "|",
        f"{begun}|",
        f"9999999999|{signature}",
        f"{begun}|{signature[:-1]}",
    ):
        yield f"{name}={wrong}"
    yield "; ".join([f"{name}={begun}|{n:064x}" for n in range(40)])


def test_wrong_cookies_are_counted_with_wrong_pins_wherever_they_come_in(uwsgi):
    server = uwsgi(options=("--workers=4", "--threads=4"))
    insider = server.fail("/path/view/insider")
    visitor = server.fail("/path/view/visitor", pin=None)
    wrong = list(wrong_cookies(insider))
    for number, cookie in enumerate(wrong):
        visitor.cookie = cookie
        if number % 2:
            assert visitor.command("token").status == 403
        else:
            assert not server.fail("/path/view/x", {"Cookie": cookie}, pin=None).is_trusted
    visitor.cookie = ""
    for _ in range(10 - len(wrong)):
        assert visitor.enter("1234") == {"auth": False, "exhausted": False}
    assert visitor.enter(PIN) == {"auth": False, "exhausted": True}
    assert insider.evaluate("token") == "&#39;insider&#39;"


def test_cookies_from_before_a_restart_are_no_wrong_guesses(uwsgi):
    server = uwsgi(options=SMALL)
    old = "; ".join(f"__debugger_{n:020x}=1|{n:064x}" for n in range(20))
    for _ in range(12):
        server.fail("/path/view/x", {"Cookie": old}, pin=None)
    assert server.fail("/path/view/x", pin=None).enter(PIN)["auth"]


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
    assert late.evaluate("token") == "&#39;late&#39;", (
        "another client has locked out a signed-in one"
    )


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
        guesses = list(pool.map(lambda n: pages[n % len(pages)].enter(f"{n}"), range(400)))
    assert sum(not guess["exhausted"] for guess in guesses) == 10
    assert not any(guess["auth"] for guess in guesses)
    # Werkzeug's own debugger sleeps for 5 s after each: 125 s with 16 threads.
    assert time.monotonic() - began < 60, "guesses have made the threads wait"


@pytest.mark.parametrize(
    "pin", ["", "x", PIN[:-1], PIN + "0", PIN.upper(), "\uff41" + PIN[1:], "\0", "9" * 9999]
)
def test_a_wrong_pin_opens_nothing(uwsgi, pin):
    page = uwsgi(options=SMALL).fail("/path/view/a-token", pin=None)
    response = page.ask(cmd="pinauth", pin=pin)
    assert (response.text, response.headers["Set-Cookie"]) == (
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
        response = server.get(path, {"Cookie": first.cookie})
        assert "EVALEX_TRUSTED = true" in response.text
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
        response = page.command("token", Host=name)
        assert response.status == 200
        assert "a-token" in response.text
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
    server = uwsgi(options=SMALL, environment={"TMPDIR": str(tmp_path / "nowhere")})
    page = server.fail("/path/view/a-token")
    assert (server.private / str(page.owner)).is_socket()
    assert stat.S_IMODE(server.private.stat().st_mode) == 0o700
    for name in ("pin", "key"):
        assert stat.S_IMODE((server.private / name).stat().st_mode) == 0o600
