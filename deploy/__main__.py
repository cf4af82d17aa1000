"""The commands of ``python -m deploy``."""

import argparse
import os
import sys
import threading

from deploy import knobs as knobs_module
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
    commands.add_parser("preflight", help="load the apps once, and publish their static files")
    commands.add_parser("health", help="ask this container's app through its socket")
    commands.add_parser("certificate", help="make a self-signed certificate in secrets/")
    render = commands.add_parser("render", help="write nginx's configuration and let nginx test it")
    render.add_argument("directory", help="where to write it")
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except Refusal as refusal:
        print(f"deploy: {refusal}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, command by command, since `health` runs every few seconds and needs little.
    if arguments.command == "health":
        from deploy import health

        return health.check()

    found = knobs_module.read()
    match arguments.command:
        case "serve":
            from deploy import serve

            return serve.run(found)
        case "local":
            from deploy import serve, uwsgi

            serve.refuse_port_in_use(found)
            with serve.own_run_dir(found.run_dir):
                uwsgi.preflight(found)
                uwsgi.become(found, instance="local", section="local")
        case "dev":
            from deploy import dev

            dev.become(found)
        case "app":
            import socket

            from deploy import uwsgi

            uwsgi.preflight(found)
            uwsgi.become(found, instance=socket.gethostname())
        case "preflight":
            from deploy import preflight

            load_apps = found.environment["LOAD_APPS"]
            https = found.tls or found.environment_name == "production"
            return preflight.check(found.mounts, found.run_dir / "static", load_apps, https)
        case "certificate":
            from deploy import certificate

            certificate.make(found, knobs_module.PROJECT / "secrets")
        case "render":
            from pathlib import Path

            from deploy import nginx

            nginx.test(found, Path(arguments.directory))
    return 0


if __name__ == "__main__":
    status = main()
    if threading.active_count() > 1:
        # An app that was only loaded to look at it has left a thread, which Python would wait for.
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
