"""The commands of ``python -m deploy``."""

import argparse
import signal
import sys

from deploy.refusal import Refusal


def main() -> int:
    """Run one command; a refusal is one sentence on standard error and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy", description="Run the app in MOUNTS behind nginx and uWSGI."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("serve", help="nginx and uWSGI on this machine, until Ctrl-C")
    commands.add_parser("local", help="uWSGI alone, with its own HTTP router, to try it out")
    commands.add_parser("dev", help="Flask's own server with reloader and debugger")
    commands.add_parser("app", help="uWSGI alone, on its socket: what the app's container runs")
    rollout = commands.add_parser("rollout", help="bring a new release live, losing no request")
    rollout.add_argument(
        "image", nargs="?", help="a release, or an image's tag; by default one is built"
    )
    rollback = commands.add_parser("rollback", help="bring the release before the live one back")
    for command in (rollout, rollback):
        command.add_argument(
            "--timeout",
            type=float,
            default=300,
            help="seconds for each step: loading the apps, the release step, and the start until"
            " the new release is live (default: %(default)s)",
        )
    commands.add_parser("status", help="which releases run, which is live, and what they do")
    check = commands.add_parser("check", help="what is wrong or unwise here, and how to mend it")
    check.add_argument("--strict", action="store_true", help="exit status 1 for warnings, too")
    findings = commands.add_parser(
        "findings", help="what `check` finds in the app's container, as JSON"
    )
    findings.add_argument("--load", action="store_true", help="load the apps, too")
    commands.add_parser("instances", help="the same of one container or machine, as JSON")
    commands.add_parser("promote", help="make this instance the live one, once it answers")
    commands.add_parser("release", help="run RELEASE_COMMAND")
    commands.add_parser("preflight", help="load the apps once, and publish their static files")
    publish = commands.add_parser("publish", help="lay out this container's static files again")
    publish.add_argument("--with-previous", action="store_true", help="and those of a `previous`")
    compress = commands.add_parser("compress", help="lay compressed twins beside static files")
    compress.add_argument("directory", help="where to look for folders named static")
    commands.add_parser("health", help="ask this container's app through its socket")
    commands.add_parser("certificate", help="make a self-signed certificate in secrets/")
    render = commands.add_parser("render", help="write nginx's configuration and let nginx test it")
    render.add_argument("directory", help="where to write it")
    arguments = parser.parse_args()
    # As PID 1 of a container, a process without a handler for it ignores this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _run(arguments)
    except Refusal as refusal:
        print(f"deploy: {refusal}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, command by command: `health` runs every few seconds and needs little, and
    # whoever operates containers needs no virtual environment.
    match arguments.command:
        case "health":
            from deploy import health, promotion

            status = health.check()
            if status == 0:
                promotion.step_in(*promotion.here())
            return status
        case "promote":
            from deploy import promotion

            return 0 if promotion.promote(*promotion.here()) else 1
        case "check":
            from deploy import check

            return check.run(strict=arguments.strict)
        case "findings":
            from deploy import check

            return check.show_the_apps(load=arguments.load)
        case "instances":
            from deploy import instances

            return instances.show()
        case "compress":
            from pathlib import Path

            from deploy import static

            static.compress(Path(arguments.directory))
            return 0
        case "rollout" | "rollback" | "status":
            from deploy import operate

            return operate.run(arguments)

    from deploy import knobs

    found = knobs.read()
    match arguments.command:
        case "serve":
            from deploy import serve

            return serve.run(found)
        case "local":
            from deploy import debugging, preflight, serve, uwsgi

            debugging.check_without_nginx(found)
            serve.refuse_port_in_use(found)
            with serve.own_run_dir(found.run_dir):
                preflight.decide(found)
                uwsgi.become(found, instance="local", section="local")
        case "dev":
            from deploy import dev
            from deploy.checks import data

            data.make(found)
            dev.become(found)
        case "app":
            import socket

            from deploy import check, preflight, spool, uwsgi

            instance = socket.gethostname()
            check.refuse(check.before_the_app(found), say=check.complain)
            found.environment["STATIC_OF"] = "container"
            if directory := spool.own(found.run_dir, instance):
                found.environment["TMPDIR"] = str(directory)
            preflight.decide(found)
            uwsgi.become(found, instance)
        case "release":
            from deploy import release

            release.become(found)
        case "preflight":
            from deploy import preflight

            return preflight.run(found)
        case "publish":
            from deploy import static

            done = static.lay_out_again(found.run_dir, with_previous=arguments.with_previous)
            print("done" if done else "previous")
        case "certificate":
            from deploy import certificate

            certificate.make(found, knobs.PROJECT / "secrets")
        case "render":
            from pathlib import Path

            from deploy import nginx

            nginx.test(found, Path(arguments.directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
