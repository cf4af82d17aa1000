"""Rollout and rollback of containers, without dropped requests.

A rollout starts another container, waits until it is live and healthy, replaces the container of
the Procfile's processes, and stops the old one. The instances promote themselves (see
``promotion``). A failure before that leaves the old one untouched.
"""

import contextlib
import math
import socket
import sys
import time
from collections.abc import Iterator

from deploy.problems import Refusal
from deploy.release import containers
from deploy.release.docker import Compose, Container, DockerError, docker, live_socket
from deploy.release.releases import Releases, image_id
from deploy.server import starts
from deploy.server.processes import CONTAINERS_REPORT

# Seconds between two polls of a container that is starting.
_POLL_INTERVAL = 0.25


class RolloutError(Exception):
    """A rollout failed. The old release is still live, unless the message says otherwise."""


def rollout(image: str | None, timeout: float) -> None:
    """Roll out a new release.

    Args:
        image: its tag, id or release; None builds it from the checkout.
        timeout: seconds for the release step, and for the start until it is healthy and live.

    Raises:
        RolloutError: the new release failed.
        Refusal: another rollout is running, or `check` finds a blocking error.
    """
    compose = Compose()
    with _only_one(compose.name):
        releases, live = Releases(compose), compose.live()
        if image:
            new = releases.find(image)
        else:
            _say("Building the image")
            # With a tag of its own: `docker compose up` still starts the live release.
            compose.run("build", "app", image=releases.candidate(), show=True)
            new = image_id(releases.candidate())
        starts.abort_on_errors(containers.look_at(compose), starts.report)
        said = containers.said_by_the_app(compose, image=new)
        starts.abort_on_errors(containers.told(said), starts.report)
        try:
            _release(compose, new, timeout, said)
        except (DockerError, TimeoutError) as error:
            how = "failed" if isinstance(error, DockerError) else f"took over {timeout:g} seconds"
            unchanged = "the old release still serves" if live else "nothing was started"
            raise RolloutError(f"The release step {how}; {unchanged}.") from None
        _replace(compose, releases, new, timeout)


def rollback(timeout: float) -> None:
    """Roll back to the previous release, without a build or a release step.

    Args:
        timeout: seconds until it is healthy and live.

    Raises:
        RolloutError: it failed.
        Refusal: another rollout is running, or there is no previous release.
    """
    compose = Compose()
    with _only_one(compose.name):
        releases, live = Releases(compose), compose.live()
        if not live:
            raise Refusal("nothing is live here; start a release with: python -m deploy rollout")
        _replace(compose, releases, releases.previous(live.image), timeout)


def _release(compose: Compose, image: str, timeout: float, said: list[dict]) -> None:
    """Run the release step in a container of its own, and remove that.

    Args:
        compose: the project.
        image: the image.
        timeout: seconds.
        said: what the image's container has said about it: a step that does not exist is not
            started.
    """
    name = f"{compose.name}-release-step"
    with contextlib.suppress(DockerError):
        docker("rm", "--force", name)  # of a rollout that was killed
    if not containers.may_have_a_release_step(compose, said):
        return
    # With what the app depends on: a first release migrates a database that does not run yet.
    run = "run", "--rm", "-T", "--name", name
    command = "python", "-m", "deploy", "release"
    try:
        compose.run(*run, "app", *command, image=image, show=True, timeout=timeout)
    except BaseException:
        with contextlib.suppress(DockerError):
            docker("rm", "--force", name)
        raise


def _replace(compose: Compose, releases: Releases, image: str, timeout: float) -> None:
    """Replace the live container by one of another image."""
    # The container of a killed rollout may have gone live by now.
    live = compose.live()
    for container in compose.containers():
        if not live or container.id != live.id:
            _say(f"Removing {container.name}, which is not live")
            # One that is starting could go live during a graceful stop.
            container.remove(force=container.health == "starting")
    if live:
        _keep_live(live)
    else:
        releases.promote(image)
        _say("Starting everything, since nothing is live")
        wait = "--wait", "--wait-timeout", f"{math.ceil(timeout)}"
        # The web is live whether or not the processes are healthy.
        compose.run("up", "--detach", *wait, "--scale", "processes=0", show=True)
        _say(f"Release {releases.keep(image)} is live")
        _replace_processes(compose)
        _wait_for_processes(compose, image, timeout)
        return

    releases.keep(live.image)  # it may have been started without a rollout
    new = _create(compose, releases, live, image)
    try:
        _say(f"Starting {new.name} beside {live.name}")
        new.start()
        _wait(new, timeout)
    except BaseException:
        # The new one may have gone live before Docker's healthcheck failed.
        _keep_live(live)
        new.remove(force=True)
        raise
    releases.promote(image)
    release = releases.keep(image)
    # Tasks of the new release are for its own workers: replace these at once.
    _replace_processes(compose)
    _say(f"Release {release} is live; {live.name} drains")
    live.remove()
    _say(f"{live.name} has stopped")
    _publish_again(compose, live, new)
    _wait_for_processes(compose, image, timeout)
    releases.prune(release)


def _replace_processes(compose: Compose) -> None:
    """Replace the container of the Procfile's processes; with PROCESSES empty, remove it.

    Compose starts the new one when the old one has stopped, and goes on if this process is killed.
    """
    if not (_runs_processes(compose) or compose.containers("processes")):
        return
    _say("Replacing the processes; the old ones finish their work")
    options = "--detach", "--no-deps", "--no-build", "--force-recreate"
    try:
        # Shown: Compose would end with SIGPIPE if it wrote to a process that was killed.
        compose.run("up", *options, "processes", show=True)
    except DockerError as problem:
        _say(f"The processes cannot be replaced ({problem})")


def _wait_for_processes(compose: Compose, image: str, timeout: float) -> None:
    """Wait until the container of the Procfile's processes is healthy.

    Raises:
        RolloutError: it failed or timed out.
    """
    end = time.monotonic() + timeout
    problem = "" if _runs_processes(compose) else None
    while problem == "":
        found = compose.containers("processes")
        if not found or found[0].image != image or found[0].state != "running":
            problem = "their container does not run; type: docker compose logs processes"
        elif found[0].health == "healthy":
            return
        else:
            lines = found[0].execute("cat", str(CONTAINERS_REPORT)).splitlines()
            problem = next((line for line in lines if " ended with " in line), "")
            if time.monotonic() > end:
                problem = problem or "they have not started"
        time.sleep(_POLL_INTERVAL)
    if problem:
        raise RolloutError(f"The release is live, but its processes are not healthy: {problem}")


def _runs_processes(compose: Compose) -> bool:
    return compose.configuration["services"]["processes"].get("scale", 0) > 0


def _keep_live(live: Container) -> None:
    """Promote the live container again if another one has gone live."""
    if live_socket(live) != f"{live.instance}.sock":
        live.execute("python", "-m", "deploy", "promote")


def _publish_again(compose: Compose, old: Container, new: Container) -> None:
    """Publish the static files again, since the old container could write to them until now.

    Fingerprinted files of pages that were loaded before are copied from its image.
    """
    publish = "python", "-m", "deploy", "publish"
    try:
        if docker("exec", new.id, *publish).strip() == "done":
            return
        command = "-e", "STATIC_OF=previous", "app", "python", "-m", "deploy", "preflight"
        try:
            compose.run("run", "--rm", "--no-deps", "-T", *command, image=old.image)
        except DockerError:
            _say("The previous release cannot be loaded, so its static files are removed")
        docker("exec", new.id, *publish, "--with-previous")
    except DockerError as problem:
        _say(f"{new.name} cannot publish its static files again ({problem}); restart it")


def _create(compose: Compose, releases: Releases, live: Container, image: str) -> Container:
    """Create a container of an image, to which Compose's tag points for this moment."""
    before = {container.id for container in compose.containers()}
    with releases.promoted(image, live.image):
        compose.run("create", "--no-build", "--no-recreate", "--scale", "app=2", "app")
    return next(found for found in compose.containers() if found.id not in before)


def _wait(new: Container, timeout: float) -> None:
    """Wait until a container is healthy and live.

    Raises:
        RolloutError: it failed or timed out. The end of its log is printed.
    """
    end = time.monotonic() + timeout
    problem = ""
    while not problem:
        new = new.now()
        if new.state != "running" or new.restarts:
            problem = f"it ended with exit status {new.exit_status}"
        elif new.health == "unhealthy":
            problem = "it is not healthy"
        elif new.health == "healthy" and live_socket(new) == f"{new.instance}.sock":
            return
        elif time.monotonic() > end:
            problem = f"it was not healthy and live within {timeout:g} seconds"
        time.sleep(_POLL_INTERVAL)
    print(new.logs(), file=sys.stderr)
    if "not" in problem and (output := new.execute("python", "-m", "deploy", "health")):
        print(output, file=sys.stderr)
    raise RolloutError(f"The new release does not work: {problem}. The old one still serves.")


@contextlib.contextmanager
def _only_one(project: str) -> Iterator[None]:
    """Lock this project against other rollouts on this machine, of any user.

    The lock is an abstract unix socket. All users share their namespace, and the kernel frees it
    when the process exits.

    Raises:
        Refusal: another rollout is running.
    """
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0rollout of {project}")
        except OSError:
            raise Refusal(
                f"another rollout of {project} is under way; wait until it has ended."
            ) from None
        yield


_begin = time.monotonic()


def _say(text: str) -> None:
    """Print progress, with the seconds since the start."""
    print(f"{time.monotonic() - _begin:6.1f} s  {text}", flush=True)
