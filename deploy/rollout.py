"""Rollout and rollback in containers, without a lost request.

It only starts one container more, waits, and stops the old one: who serves is decided by the
instances themselves (see ``promotion``). Whatever goes wrong before the new one is live and
healthy leaves the old one as it was.
"""

import contextlib
import math
import socket
import sys
import time
from collections.abc import Iterator

from deploy import check
from deploy.checks import containers
from deploy.docker import Compose, Container, DockerError, docker, live_socket
from deploy.refusal import Refusal
from deploy.releases import Releases, image_id

# Seconds between two looks at a container that is starting.
_PAUSE = 0.25


class RolloutError(Exception):
    """A new release that does not work. The one that was live still is."""


def rollout(image: str | None, timeout: float) -> None:
    """Bring a new release live.

    Args:
        image: its tag, id or release; None builds it from this folder.
        timeout: seconds that the release step may take, and then the start until it is healthy and
            live.

    Raises:
        RolloutError: it does not work.
        Refusal: another rollout is under way, or `check` finds an error.
    """
    compose = Compose()
    with _only_one(compose.name):
        releases, live = Releases(compose), compose.live()
        if image:
            new = releases.find(image)
        else:
            _say("Building the image")
            # Under a name of its own, so that `docker compose up` still starts what is live.
            compose.run("build", "app", image=releases.candidate(), show=True)
            new = image_id(releases.candidate())
        check.abort_on_errors(containers.look_at(compose), check.report)
        check.abort_on_errors(containers.ask_the_app(compose, image=new), check.report)
        try:
            _release(compose, new, timeout)
        except (DockerError, TimeoutError) as error:
            how = "failed" if isinstance(error, DockerError) else f"took over {timeout:g} seconds"
            unchanged = "the old release still serves" if live else "nothing was started"
            raise RolloutError(f"The release step {how}; {unchanged}.") from None
        _replace(compose, releases, live, new, timeout)


def rollback(timeout: float) -> None:
    """Bring the release before the live one back. Nothing is built, and no command is run.

    Args:
        timeout: seconds it may take until it is healthy and live.

    Raises:
        RolloutError: it does not work.
        Refusal: another rollout is under way, or there is no earlier release.
    """
    compose = Compose()
    with _only_one(compose.name):
        releases, live = Releases(compose), compose.live()
        if not live:
            raise Refusal("nothing is live here; start a release with: python -m deploy rollout")
        _replace(compose, releases, live, releases.before(live.image), timeout)


def _release(compose: Compose, image: str, timeout: float) -> None:
    """Run the release step in a container of its own, of which nothing is left."""
    name = f"{compose.name}-release-step"
    with contextlib.suppress(DockerError):
        docker("rm", "--force", name)  # of a rollout that was killed
    run = "run", "--rm", "--no-deps", "-T", "--name", name
    command = "python", "-m", "deploy", "release"
    try:
        compose.run(*run, "app", *command, image=image, show=True, timeout=timeout)
    except BaseException:
        with contextlib.suppress(DockerError):
            docker("rm", "--force", name)
        raise


def _replace(
    compose: Compose, releases: Releases, live: Container | None, image: str, timeout: float
) -> None:
    """Serve an image instead of the live container's."""
    # With none live, what there is does not answer; with one, it is left from a killed rollout.
    for container in compose.containers():
        if not live or container.id != live.id:
            _say(f"Removing {container.name}, which is not live")
            container.remove()
    if not live:
        releases.point_compose_at(image)
        _say("Starting everything, since nothing is live")
        wait = "--wait", "--wait-timeout", f"{math.ceil(timeout)}"
        compose.run("up", "--detach", *wait, show=True)
        _say(f"Release {releases.keep(image)} is live")
        return

    releases.keep(live.image)  # it may have been started without a rollout
    new = _create(compose, releases, live, image)
    try:
        _say(f"Starting {new.name} beside {live.name}")
        new.start()
        _wait(new, timeout)
    except BaseException:
        # Healthy for its own eyes but not for Docker's: it may have become live already.
        if live_socket(live) != f"{live.instance}.sock":
            live.execute("python", "-m", "deploy", "promote")
        new.remove(at_once=True)
        raise
    releases.point_compose_at(image)
    release = releases.keep(image)
    _say(f"Release {release} is live; {live.name} finishes what it has begun")
    live.remove()
    _say(f"{live.name} is gone")
    _publish_again(compose, live, new)
    releases.let_old_ones_go(release)


def _publish_again(compose: Compose, old: Container, new: Container) -> None:
    """Lay the static files out again, since the old container could write there until now.

    Files with fingerprints, for pages that were loaded before, come from its image.
    """
    publish = "python", "-m", "deploy", "publish"
    try:
        if docker("exec", new.id, *publish).strip() == "done":
            return
        command = "-e", "STATIC_OF=previous", "app", "python", "-m", "deploy", "preflight"
        try:
            compose.run("run", "--rm", "--no-deps", "-T", *command, image=old.image)
        except DockerError:
            _say("The release before cannot be loaded any more, so its static files are gone")
        docker("exec", new.id, *publish, "--with-previous")
    except DockerError as problem:
        _say(f"{new.name} cannot lay out its static files again ({problem}); restart it")


def _create(compose: Compose, releases: Releases, live: Container, image: str) -> Container:
    """Make a container of an image. Compose's own tag names that image just meanwhile."""
    before = {container.id for container in compose.containers()}
    with releases.lend_to(image, live.image):
        compose.run("create", "--no-build", "--no-recreate", "--scale", "app=2", "app")
    return next(found for found in compose.containers() if found.id not in before)


def _wait(new: Container, timeout: float) -> None:
    """Return when a container is healthy and live.

    Raises:
        RolloutError: it is not, and will not be. The end of its log was shown.
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
        time.sleep(_PAUSE)
    print(new.last_words(), file=sys.stderr)
    if "not" in problem and (answer := new.execute("python", "-m", "deploy", "health")):
        print(answer, file=sys.stderr)
    raise RolloutError(f"The new release does not work: {problem}. The old one still serves.")


@contextlib.contextmanager
def _only_one(project: str) -> Iterator[None]:
    """Keep every other rollout of this project on this machine out, whoever types it.

    The lock is an address of a unix socket without a file. All users share these, and the kernel
    frees it when the process ends, in whatever way.

    Raises:
        Refusal: another one is under way.
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
    """Tell what is done, with the seconds since the beginning."""
    print(f"{time.monotonic() - _begin:6.1f} s  {text}", flush=True)
