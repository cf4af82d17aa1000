"""What `kubectl apply -k` would send to a cluster."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers import PROJECT

KUBERNETES = PROJECT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
COMPONENTS = sorted(
    str(file.parent.relative_to(KUBERNETES))
    for file in KUBERNETES.rglob("kustomization.yml")
    if "kind: Component" in file.read_text()
)
Manifest = dict[str, Any]


class RenderingError(Exception):
    """What kustomize has said."""


def render(
    folder: Path,
    resource: str = "production",
    components: Iterable[str] = (),
    settings: Mapping[str, str] | None = None,
    **more: Any,
) -> list[Manifest]:
    """The manifests of a kustomization, as docs/kubernetes.md has it.

    Args:
        folder: where to write it.
        resource: `base` or `production`.
        components: the other directories that it names.
        settings: what is merged into the ConfigMap; by default, a host name.
        more: other fields of it.
    """
    given = {"SERVER_NAMES": "example.com"} if settings is None else settings
    literals = [f"{name}={value}" for name, value in given.items()]
    kustomization = {
        "resources": [os.path.relpath(KUBERNETES / resource, folder)],
        "components": [os.path.relpath(KUBERNETES / name, folder) for name in components],
        "configMapGenerator": [{"name": "settings", "behavior": "merge", "literals": literals}],
        **more,
    }
    (folder / "kustomization.yml").write_text(yaml.safe_dump(kustomization))
    return kustomize(folder)


def kustomize(folder: Path) -> list[Manifest]:
    """The manifests of a directory.

    Raises:
        RenderingError: kustomize finds an error.
    """
    command = [KUBECTL, "kustomize", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RenderingError(done.stderr)
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def pick(manifests: list[Manifest], kind: str, name: str = "web") -> Manifest:
    """The manifest of a kind and a name, without the hash of its content."""
    (found,) = (
        one for one in manifests if one["kind"] == kind and one["metadata"]["name"].startswith(name)
    )
    return found


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The templates of pods, by the name of their workload."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in manifests
        if "template" in one.get("spec", {})
    }


def containers(pod: Manifest) -> Iterator[Manifest]:
    """All containers of a pod."""
    yield from pod["spec"].get("initContainers", ())
    yield from pod["spec"]["containers"]
