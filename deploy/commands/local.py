"""``make local``: uWSGI with its own HTTP router, without nginx."""

from deploy.install import here
from deploy.problems import Refusal
from deploy.server import preflight, programs, run_dir, uwsgi
from deploy.settings import debugging
from deploy.settings.knobs import Knobs


def become(knobs: Knobs) -> None:
    """Replace this process by uWSGI.

    Raises:
        Refusal: the port or RUN_DIR is taken, or the debugger is on where others reach the site.
        SystemExit: an app cannot be loaded.
    """
    _check_access_to_the_debugger(knobs)
    here.refuse_outdated(knobs.app_dir)
    programs.refuse_port_in_use(knobs)
    with run_dir.own(knobs.run_dir):
        preflight.decide(knobs)
        uwsgi.become(*uwsgi.prepare(knobs, instance="local", section="local"))


def _check_access_to_the_debugger(knobs: Knobs) -> None:
    """Where nothing but uWSGI is in front of the app, only this machine may reach the debugger.

    Raises:
        Refusal: others could.
    """
    if not knobs.debugger:
        return
    for name in ("HTTP_ADDRESS", "TRUSTED_PROXIES"):
        value = knobs.environment[name]
        if value.split() and not (name == "HTTP_ADDRESS" and debugging.is_loopback(value)):
            raise Refusal(
                f"UWSGI_DEBUG is on and {name} is {value!r}, through which others reach it, and"
                " there is no nginx here to hold them to DEBUG_ALLOW or DEBUG_PASSWORD_FILE; use"
                " `serve`, or set HTTP_ADDRESS=127.0.0.1 and no TRUSTED_PROXIES."
            )
