"""Releases: images of the app that have been live, each tagged with the time when it went live.

A release is ``<image>:20261123-210507`` (UTC). The tag that Compose itself starts, usually
``latest``, names the same image as the live release, so `docker compose up` agrees with what runs.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

from deploy.problems import Refusal
from deploy.release.docker import Compose, DockerError, docker

# Releases that are kept: the live one, and two for a rollback.
KEPT = 3
_RELEASE = re.compile(r"\d{8}-\d{6}")


class Releases:
    """The releases of one project."""

    def __init__(self, compose: Compose) -> None:
        self._image = compose.image
        self._repository = compose.image.rpartition(":")[0]

    def all(self) -> dict[str, str]:
        """Each release with the id of its image, the newest first."""
        listed = docker(
            "image", "ls", "--no-trunc", "--format", "{{.Tag}} {{.ID}}", self._repository
        )
        pairs = (line.split() for line in listed.splitlines())
        return {tag: image for tag, image in sorted(pairs, reverse=True) if _RELEASE.fullmatch(tag)}

    def of(self, image: str) -> str:
        """The release of an image; empty if it has none."""
        return next((release for release, found in self.all().items() if found == image), "")

    def previous(self, image: str) -> str:
        """The image of the previous release.

        Raises:
            Refusal: there is none.
        """
        releases = self.all()
        older = [release for release in releases if release < self.of(image)]
        if not older:
            raise Refusal(
                "there is no release before the one that is live; kept are:"
                f" {', '.join(releases) or 'none'}."
            )
        return releases[older[0]]

    def find(self, name: str) -> str:
        """The id of an image by its release, its name, or its name in a registry."""
        if name in (releases := self.all()):
            return releases[name]
        try:
            return image_id(name)
        except DockerError:
            docker("pull", name, show=True)
            return image_id(name)

    def candidate(self) -> str:
        """The tag of an image until it is a release."""
        return f"{self._repository}:candidate"

    def promote(self, image: str) -> None:
        """Make this the image that `docker compose up` starts."""
        docker("tag", image, self._image)

    @contextlib.contextmanager
    def promoted(self, image: str, live: str) -> Iterator[None]:
        """Promote an image for the block; then, or when this process exits, the live one again."""
        # The shell's input is closed when this process exits, even by SIGKILL. A command of Docker
        # that is running at that moment has to finish first.
        script = 'read -r _ || sleep 3; exec docker tag "$0" "$1"'
        with subprocess.Popen(
            ["sh", "-c", script, live, self._image],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process
        ) as restoring:
            try:
                self.promote(image)
                yield
            finally:
                restoring.communicate(b"now\n")
        if restoring.returncode:
            raise DockerError(f"docker tag {live} {self._image} failed")

    def keep(self, image: str) -> str:
        """Tag an image that went live as a release, and return that."""
        release = self.of(image)
        if not release:
            release = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            docker("tag", image, f"{self._repository}:{release}")
        return release

    def prune(self, live: str) -> None:
        """Remove all releases but the newest ones and the live one.

        No container may use them, or Docker fails.
        """
        for old in list(self.all())[KEPT:]:
            if old != live:
                docker("rmi", f"{self._repository}:{old}")


def image_id(name: str) -> str:
    """The id of an image that is on this machine."""
    return json.loads(docker("image", "inspect", name))[0]["Id"]
