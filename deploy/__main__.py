"""The commands of ``python -m deploy``."""

import argparse
import signal
import sys
from pathlib import Path

from deploy.problems import Refusal


def main() -> int:
    """Run one command. An error is one sentence on standard error, with exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy", description="Run the apps in MOUNTS behind nginx and uWSGI."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_commands(commands)
    _add_internal_commands(commands)
    arguments = parser.parse_args()
    # As PID 1 of a container, a process without a handler for it ignores this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _run(arguments)
    except Refusal as refusal:
        return refusal.tell()


def _add_commands(commands: argparse._SubParsersAction) -> None:
    """The commands of `--help`."""
    commands.add_parser("serve", help="run nginx and uWSGI on this machine, until Ctrl-C")
    commands.add_parser("install", help="install the app and its requirements into .app")
    lock = commands.add_parser("lock", help="pin requirements.in, with hashes")
    lock.add_argument("options", nargs=argparse.REMAINDER, help="of uv or poetry")
    commands.add_parser("local", help="run uWSGI with its own HTTP router, without nginx")
    commands.add_parser("dev", help="run Flask's own server with reloader and debugger")
    check = commands.add_parser("check", help="print errors and warnings, each with its fix")
    check.add_argument("--strict", action="store_true", help="exit status 1 for warnings")
    check.add_argument(
        "--format", choices=("text", "json"), default="text", help="default: %(default)s"
    )
    rollout = commands.add_parser("rollout", help="roll out a new release without downtime")
    rollout.add_argument("image", nargs="?", help="a release or an image; by default, build one")
    rollback = commands.add_parser("rollback", help="roll back to the previous release")
    for command in (rollout, rollback):
        command.add_argument(
            "--timeout",
            type=float,
            default=300,
            help="seconds for each step: loading the apps, the release step, and the start until"
            " the new release is live (default: %(default)s)",
        )
    status = commands.add_parser(
        "status", help="print the releases, which one is live, and what its workers do"
    )
    status.add_argument(
        "--stacks", action="store_true", help="with stack traces of the app's threads"
    )
    output = status.add_mutually_exclusive_group()
    for name, text in (("json", "for programs"), ("watch", "again every 2 seconds, until Ctrl-C")):
        output.add_argument(
            f"--{name}", dest="output", action="store_const", const=name, default="text", help=text
        )
    recycle = commands.add_parser("recycle", help="replace workers gracefully, one after the other")
    recycle.add_argument("worker", nargs="?", type=int, default=0, help="by default, all")
    profile = commands.add_parser("profile", help="write a flame graph of a worker while it serves")
    profile.add_argument("worker", nargs="?", type=int, default=0, help="by default, the busiest")
    for name, default, text in (
        ("seconds", 10, "how long to look"),
        ("output", Path("flame.svg"), "the file"),
    ):
        profile.add_argument(
            f"--{name}", type=type(default), default=default, help=f"{text} (default: %(default)s)"
        )
    commands.add_parser("certificate", help="make a self-signed certificate in secrets/")


def _add_internal_commands(commands: argparse._SubParsersAction) -> None:
    """Commands of containers, uWSGI, `make` and rollouts. `--help` does not list them."""
    commands.add_parser("app", description="Run uWSGI in the app's container.")
    commands.add_parser("processes", description="Run the Procfile's processes in a container.")
    health = commands.add_parser("health", description="Healthcheck of the app's container.")
    health.add_argument("--master", action="store_true", help="whether uWSGI's master responds")
    commands.add_parser("promote", description="Make this instance live once it is healthy.")
    commands.add_parser("preflight", description="Load the apps, and publish their static files.")
    commands.add_parser("release", description="Run the release step.")
    metrics = commands.add_parser("metrics", description="Export metrics for Prometheus.")
    metrics.add_argument("--listen", help="address and port in a container (0.0.0.0:9117)")
    found = commands.add_parser(
        "instances", description="Print the instances of this machine as JSON."
    )
    found.add_argument("--stacks", action="store_true", help="with stack traces")
    found.add_argument("--recycle", type=int, help="replace this worker, or all (0)")
    findings = commands.add_parser(
        "findings", description="Print the findings in the app's container as JSON."
    )
    findings.add_argument("--load", action="store_true", help="load the apps, too")
    packages = commands.add_parser("packages", description="Print the packages to install.")
    packages.add_argument("setting", choices=("APT_PACKAGES", "APT_BUILD_PACKAGES"))
    publish = commands.add_parser("publish", description="Publish the static files again.")
    publish.add_argument(
        "--with-previous", action="store_true", help="with those of the previous release"
    )
    compress = commands.add_parser("compress", description="Precompress static files.")
    compress.add_argument("directory", help="where to find directories named static")
    render = commands.add_parser("render", description="Write and test nginx's configuration.")
    render.add_argument("directory", help="where to write it")


def _run(arguments: argparse.Namespace) -> int:
    # Imports by command: `health` runs every few seconds and has to start fast, and a host with
    # containers has no virtual environment.
    match arguments.command:
        case "health":
            from deploy.server import health, promotion

            if arguments.master:
                return health.check_master()
            status = health.check()
            if status == 0:
                promotion.step_in(*promotion.here())
                if promotion.is_next(*promotion.here()):
                    print("not yet live", file=sys.stderr)
                    return 1
            return status
        case "promote":
            from deploy.server import promotion

            return 0 if promotion.promote(*promotion.here()) else 1
        case "app":
            from deploy.server import container

            container.become()
        case "check":
            from deploy.commands import check

            return check.run(strict=arguments.strict, output=arguments.format)
        case "findings":
            from deploy.server import starts

            return starts.print_findings(load=arguments.load)
        case "packages":
            from deploy.server import packages
            from deploy.settings import knobs

            print(" ".join(packages.missing(knobs.packages(arguments.setting))))
            return 0
        case "instances":
            from deploy.server import instances, promotion

            if arguments.recycle is None:
                return instances.show(with_stacks=arguments.stacks)
            for line in instances.recycle(promotion.here()[0], arguments.recycle):
                print(line)
        case "metrics":
            from deploy.server.metrics import exporter
            from deploy.settings import knobs

            address, port, mounts = knobs.metrics()
            if arguments.listen:
                address, _, port = arguments.listen.rpartition(":")
            exporter.run(address, int(port), knobs.run_dir(), mounts)
        case "compress":
            from deploy.server import static

            static.compress(Path(arguments.directory))
            return 0
        case "install":
            from deploy.install import here
            from deploy.settings import knobs

            here.install(knobs.app_dir())
            return 0
        case "lock":
            from deploy.commands import lock
            from deploy.settings import knobs

            return lock.run(knobs.app_dir(), arguments.options)
        case "rollout" | "rollback" | "status" | "recycle" | "profile":
            from deploy.commands import operate

            return operate.run(arguments)

    from deploy.settings import knobs

    found = knobs.read()
    match arguments.command:
        case "serve":
            from deploy.commands import serve

            return serve.run(found)
        case "local":
            from deploy.commands import local

            local.become(found)
        case "dev":
            from deploy.commands import dev
            from deploy.server import data_dir

            data_dir.make(found)
            dev.become(found)
        case "processes":
            from deploy.server import processes

            return processes.run(found)
        case "release":
            from deploy.server import release_step

            release_step.become(found)
        case "preflight":
            from deploy.server import preflight

            return preflight.run(found)
        case "publish":
            from deploy.server import static

            done = static.lay_out_again(found.run_dir, with_previous=arguments.with_previous)
            print("done" if done else "previous")
        case "certificate":
            from deploy.commands import certificate

            certificate.make(found, knobs.PROJECT / "secrets")
        case "render":
            from deploy.server import nginx

            nginx.test(found, Path(arguments.directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
