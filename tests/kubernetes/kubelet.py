"""A kubelet for tests: runs the pods that kustomize prints, with Docker, as Kubernetes would.

It has what decides whether requests are lost: the order in which containers start and stop, probes
with their thresholds, restarts with their back-off, `preStop`, stop signals and the grace period,
volumes with `fsGroup`, users and security contexts, endpoints that are removed late, a Deployment
that rolls, and evictions within a PodDisruptionBudget. What it does not show: docs/kubernetes.md.

Sources: pkg/kubelet/kuberuntime (kuberuntime_container.go, kuberuntime_termination_order.go),
pkg/volume/volume_linux.go and pkg/controller/deployment/rolling.go of Kubernetes.
"""

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any, Self

from tests.kubernetes.rendering import Manifest

# Seconds between two looks of the kubelet at its containers (pod lifecycle event generator), and
# of a controller at its pods.
RELIST, RESYNC = 1, 0.2
# Back-off of a container that ends again and again: nothing, then this, doubled each time.
BACKOFF, LONGEST_BACKOFF = 10, 300
# Seconds that a container always has after its stop signal.
LEAST_GRACE = 2
UNITS = {"Mi": "m", "Gi": "g"}
# What the API server's Service adds to each container's environment.
CLUSTER = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
}


class DockerError(Exception):
    """A command of Docker's that failed."""


async def docker(*words: str, check: bool = True, stdin: bytes | None = None) -> str:
    """Run a command of Docker's; what it prints.

    Raises:
        DockerError: it fails, and `check` is true.
    """
    process = await asyncio.create_subprocess_exec(
        "docker",
        *words,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate(stdin)
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if check and process.returncode:
        raise DockerError(f"docker {' '.join(words)}\n{output.decode(errors='replace')}")
    return output.decode(errors="replace").strip()


class Container:
    """A container of a pod, and those that take its place when it has ended."""

    def __init__(self, pod: "Pod", spec: Manifest) -> None:
        self.spec = spec
        self.name = f"{pod.name}-{spec['name']}"
        self.starts = 0
        self.running = False
        self.started = False  # its startup probe has succeeded
        self.ready = False
        self.done = False  # it has ended with 0, and is not restarted
        self.stopping = False
        self._pod = pod
        self._task: asyncio.Task[None] | None = None
        self._creation: asyncio.Task[str] | None = None

    @property
    def is_sidecar(self) -> bool:
        return self.spec.get("restartPolicy") == "Always"

    def keep_running(self, once: bool) -> None:
        """Run it, and again when it ends; a plain init container until it ends with 0."""
        self._task = asyncio.create_task(self._keep_running(once))

    async def _keep_running(self, once: bool) -> None:
        delay = 0
        while not self.stopping:
            begun = time.monotonic()
            await self._clear()
            run = docker("run", "--detach", f"--name={self.name}", *self._options())
            # Not cancelled half-way: it could come into being after it was removed.
            self._creation = asyncio.create_task(run)
            await asyncio.shield(self._creation)
            self.starts += 1
            self.running = True
            waiting = asyncio.create_task(docker("wait", self.name, check=False))
            probing = asyncio.create_task(self._probe())
            await asyncio.wait([waiting])
            probing.cancel()
            if not self.stopping:
                await asyncio.sleep(RELIST)
            self.running = self.started = self.ready = False
            if once and waiting.result() == "0":
                self.done = True
                return
            if self.stopping:
                return
            if time.monotonic() - begun > 2 * LONGEST_BACKOFF:
                delay = 0
            await asyncio.sleep(delay)
            delay = min(2 * delay or BACKOFF, LONGEST_BACKOFF)

    def _options(self) -> Iterator[str]:
        """Options of `docker run`, and the command."""
        spec, pod = self.spec, self._pod.spec
        context = pod["securityContext"] | spec["securityContext"]
        yield f"--network=container:{self._pod.name}"
        yield "--no-healthcheck"  # Kubernetes ignores that of an image
        yield f"--user={context['runAsUser']}:{context['runAsGroup']}"
        yield f"--group-add={context['fsGroup']}"
        yield from (f"--cap-drop={name}" for name in context["capabilities"]["drop"])
        if context["readOnlyRootFilesystem"]:
            yield "--read-only"
        if not context["allowPrivilegeEscalation"]:
            yield "--security-opt=no-new-privileges"
        limits = spec["resources"]["limits"]
        yield f"--memory={_size(limits['memory'])}"
        yield f"--memory-swap={_size(limits['memory'])}"
        yield f"--cpus={limits['cpu'].replace('500m', '0.5')}"
        for name, value in self._pod.environment(spec).items():
            yield f"--env={name}={value}"
        for mount in spec["volumeMounts"]:
            options = [f"src={self._pod.volume(mount['name'])}", f"dst={mount['mountPath']}"]
            options += ["readonly"] if mount.get("readOnly") else []
            options += [f"volume-subpath={mount['subPath']}"] if "subPath" in mount else []
            yield f"--mount=type=volume,volume-nocopy,{','.join(options)}"
        if command := spec.get("command"):
            yield f"--entrypoint={command[0]}"
        yield spec["image"]
        yield from spec.get("command", [])[1:]

    async def _probe(self) -> None:
        if not await self._has_started():
            return
        self.started = True
        self.ready = "readinessProbe" not in self.spec
        probes = [self._watch(kind) for kind in ("livenessProbe", "readinessProbe")]
        await asyncio.gather(*probes)

    async def _has_started(self) -> bool:
        probe = self.spec.get("startupProbe")
        for _ in range(probe.get("failureThreshold", 3) if probe else 0):
            if await self._responds(probe):
                return True
            await asyncio.sleep(probe["periodSeconds"])
        if probe:
            self._pod.say(f"{self.name}: the startup probe fails; it is stopped")
            await self._stop(self._pod.grace)
        return not probe

    async def _watch(self, kind: str) -> None:
        probe = self.spec.get(kind)
        failures = 0
        # A terminating pod has no liveness probes any more.
        while probe and not (self._pod.terminating and kind == "livenessProbe"):
            failures = 0 if await self._responds(probe) else failures + 1
            failed = failures >= probe.get("failureThreshold", 3)
            if kind == "readinessProbe":
                self.ready = not failed and (self.ready or not failures)
            elif failed:
                self._pod.say(f"{self.name}: the liveness probe fails; it is stopped")
                await self._stop(self._pod.grace)
                return
            await asyncio.sleep(probe["periodSeconds"])

    async def _responds(self, probe: Manifest) -> bool:
        timeout = probe.get("timeoutSeconds", 1)
        with contextlib.suppress(DockerError, OSError, TimeoutError):
            async with asyncio.timeout(timeout):
                if "exec" in probe:
                    await docker("exec", self.name, *probe["exec"]["command"])
                else:
                    port = self._pod.port(probe["tcpSocket"]["port"])
                    _, writer = await asyncio.open_connection(self._pod.address, port)
                    writer.close()
                return True
        return False

    async def stop(self, deadline: float, turn: asyncio.Event | None) -> None:
        """preStop, its turn, the stop signal, and SIGKILL at the end of the grace period."""
        self.stopping = True
        sleep = self.spec.get("lifecycle", {}).get("preStop", {}).get("sleep")
        if sleep and self.running:
            await asyncio.sleep(min(sleep["seconds"], max(0, deadline - time.monotonic())))
        if turn:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(turn.wait(), max(0, deadline - time.monotonic()))
        await self._stop(max(LEAST_GRACE, deadline - time.monotonic()))

    async def _stop(self, grace: float) -> None:
        # With the image's STOPSIGNAL, as containerd and CRI-O send it.
        await docker("stop", f"--time={grace:.0f}", self.name, check=False)

    async def remove(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([task for task in (self._task, self._creation) if task])
            await self._clear()

    async def log(self) -> str:
        return await docker("logs", self.name, check=False) if self.starts else ""

    async def _clear(self) -> None:
        """Remove what has ended, and keep its log."""
        self._pod.logs += await self.log()
        await docker("rm", "--force", self.name, check=False)


class Pod:
    """A pod, from its creation to its removal."""

    def __init__(self, node: "Node", name: str, template: Manifest) -> None:
        self.node = node
        self.name = name
        self.template = template
        self.spec = template["spec"]
        self.address = ""
        self.terminating = False
        self.gone = False
        self.events: list[str] = []
        self.logs = ""
        self.init = [Container(self, one) for one in self.spec.get("initContainers", ())]
        self.main = [Container(self, one) for one in self.spec["containers"]]
        self._creation: asyncio.Task[None] | None = None
        self._task = asyncio.create_task(self._start())

    @property
    def containers(self) -> list[Container]:
        return self.init + self.main

    @property
    def ready(self) -> bool:
        """Its condition `Ready`: all containers and sidecars are."""
        return not self.gone and all(one.ready or one.done for one in self.containers)

    @property
    def grace(self) -> int:
        return self.spec.get("terminationGracePeriodSeconds", 30)

    def container(self, name: str) -> Container:
        return next(one for one in self.containers if one.spec["name"] == name)

    def port(self, name: str | int) -> int:
        ports = [port for one in self.containers for port in one.spec.get("ports", ())]
        return next((p["containerPort"] for p in ports if p["name"] == name), name)

    def volume(self, name: str) -> str:
        """The name of a volume, for Docker."""
        spec = next(one for one in self.spec["volumes"] if one["name"] == name)
        return self.node.secret(spec["secret"]) if "secret" in spec else f"{self.name}-{name}"

    def environment(self, container: Manifest) -> dict[str, str]:
        """The environment of a container: `env` overrides `envFrom`."""
        found = dict(CLUSTER)
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                found |= self.node.config_map(source["configMapRef"]["name"])
        return found | {one["name"]: one["value"] for one in container.get("env", ())}

    def say(self, event: str) -> None:
        self.events.append(f"{time.monotonic():.1f} {event}")

    async def _start(self) -> None:
        self._creation = asyncio.create_task(self._create())
        await asyncio.shield(self._creation)
        for one in self.init:
            one.keep_running(once=not one.is_sidecar)
            # A sidecar is waited for until its startup probe has succeeded, others until they end.
            while not (one.started if one.is_sidecar else one.done):
                await asyncio.sleep(RESYNC)
        for one in self.main:
            one.keep_running(once=self.spec.get("restartPolicy") == "Never")

    async def _create(self) -> None:
        """Volumes, and the sandbox, whose network the containers have."""
        group = self.spec["securityContext"]["fsGroup"]
        mounts = []
        for volume in self.spec["volumes"]:
            if "emptyDir" in volume:
                # An emptyDir has the mode 0777; with fsGroup, its group and the setgid bit, too.
                size = _size(volume["emptyDir"]["sizeLimit"])
                options = f"--opt=o=size={size},gid={group},mode=2777"
                name = self.volume(volume["name"])
                tmpfs = "--opt=type=tmpfs", "--opt=device=tmpfs"
                await docker("volume", "create", self.node.label, *tmpfs, options, name)
                mounts.append(f"--mount=type=volume,volume-nocopy,src={name},dst=/{volume['name']}")
        await docker(
            *("run", "--detach", f"--name={self.name}", f"--hostname={self.name}"),
            *(self.node.label, "--no-healthcheck", *mounts),
            *("--entrypoint=sleep", self.node.pause, "infinity"),
        )
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = await docker("inspect", f"--format={address}", self.name)

    async def delete(self) -> None:
        """Stop the main containers, then the sidecars in reverse order; remove all of it."""
        self.terminating = True
        self.say("deleted")
        self._task.cancel()
        deadline = time.monotonic() + self.grace
        turns = [asyncio.Event() for _ in self.init]

        async def stop(container: Container, turn: asyncio.Event | None) -> None:
            await container.stop(deadline, turn)
            self.say(f"{container.name} has stopped")

        async def stop_main() -> None:
            await asyncio.gather(*(stop(one, None) for one in self.main))
            if turns:
                turns[-1].set()

        async def stop_init(number: int) -> None:
            await stop(self.init[number], turns[number])
            if number:
                turns[number - 1].set()

        # The hooks preStop of all run at once.
        await asyncio.gather(stop_main(), *map(stop_init, range(len(self.init))))
        await self.remove()

    async def remove(self) -> None:
        self._task.cancel()
        await asyncio.wait([task for task in (self._task, self._creation) if task])
        for one in self.containers:
            await one.remove()
        await docker("rm", "--force", self.name, check=False)
        for volume in self.spec["volumes"]:
            if "emptyDir" in volume:
                await docker("volume", "rm", self.volume(volume["name"]), check=False)
        self.gone = True


class Service:
    """A port of this machine that passes each new connection to one of the endpoints.

    As kube-proxy does: a connection stays with its pod, also when that is no endpoint any more.

    Args:
        delay: seconds after which all nodes know that an endpoint has gone.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.port = 0
        self.endpoints: dict[Pod, int] = {}
        self._leaving: set[Pod] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()

    def look(self, pods: list[Pod]) -> None:
        """Add pods that are ready, and remove others after the delay."""
        for pod in pods:
            if pod.ready and not pod.terminating and pod not in self._leaving:
                self.endpoints[pod] = pod.port("http")
        for pod in self.endpoints.keys() - self._leaving:
            if pod.terminating or not pod.ready:
                self._leaving.add(pod)
                asyncio.get_running_loop().call_later(self.delay, self._remove, pod)

    def _remove(self, pod: Pod) -> None:
        self._leaving.discard(pod)
        if pod.terminating or not pod.ready:
            self.endpoints.pop(pod, None)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, IndexError):
            pod, port = random.choice(list(self.endpoints.items()))
            upstream = await asyncio.open_connection(pod.address, port)
            ways = [_copy(reader, upstream[1]), _copy(upstream[0], writer)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            upstream[1].close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class Deployment:
    """A Deployment, its ReplicaSets and its PodDisruptionBudget."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.revisions: list[Manifest] = []
        self.pods: list[Pod] = []
        self.terminated: list[Pod] = []
        self.service = Service(node.delay)
        self._numbers = itertools.count(1)
        self._replicas = self._surge = 0
        self._background: set[asyncio.Task[None]] = set()

    @property
    def template(self) -> Manifest:
        return self.revisions[-1]

    def apply(self, manifest: Manifest) -> None:
        spec = manifest["spec"]
        self._replicas = spec["replicas"]
        rolling = spec["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 0, "this controller knows no other"
        self._surge = rolling["maxSurge"]
        if not self.revisions or spec["template"] != self.template:
            self.revisions.append(spec["template"])

    def undo(self) -> None:
        """`kubectl rollout undo`: the template of the previous revision is a new one."""
        self.revisions.append(self.revisions[-2])

    @property
    def rolled_out(self) -> bool:
        """`kubectl rollout status`."""
        active = [pod for pod in self.pods if not pod.terminating]
        updated = [pod for pod in active if pod.template == self.template and pod.ready]
        return len(updated) == len(active) == self._replicas

    def control(self) -> None:
        """One step of the controllers."""
        self.terminated += [pod for pod in self.pods if pod.gone]
        self.pods = [pod for pod in self.pods if not pod.gone]
        active = [pod for pod in self.pods if not pod.terminating]
        new = [pod for pod in active if pod.template == self.template]
        old = [pod for pod in active if pod.template != self.template]
        # Of old revisions, those that are not ready go first, and others when new ones are ready.
        spare = sum(pod.ready for pod in active) - self._replicas
        for pod in old:
            if not pod.ready:
                self.delete(pod)
            elif spare > 0:
                spare -= 1
                self.delete(pod)
        if len(new) < self._replicas and len(active) < self._replicas + self._surge:
            name = f"{self._node.name}-{next(self._numbers)}"
            self.pods.append(Pod(self._node, name, self.template))
        self.service.look(self.pods)

    def evict(self, pod: Pod, budget: Manifest) -> bool:
        """The eviction of a drain: deleted if the PodDisruptionBudget allows it."""
        healthy = sum(one.ready and not one.terminating for one in self.pods)
        allowed = healthy - (self._replicas - budget["spec"]["maxUnavailable"])
        if allowed > 0:
            self.delete(pod)
        return allowed > 0

    def delete(self, pod: Pod) -> None:
        task = asyncio.create_task(pod.delete())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class Node:
    """A cluster of one node, with one Deployment, in a thread.

    Args:
        name: of its pods.
        pause: an image of which only `sleep` and `sh` are used.
        secrets: files of the Secret `secrets`.
        delay: seconds until an endpoint that has gone is known everywhere.
    """

    def __init__(self, name: str, pause: str, secrets: dict[str, str], delay: float) -> None:
        self.name = name
        self.pause = pause
        self.delay = delay
        self.label = f"--label=node={name}"
        self.deployment = Deployment(self)
        self.manifests: dict[tuple[str, str], Manifest] = {}
        self._secrets = secrets
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._controller: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._set_up())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._tear_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, what: Coroutine[Any, Any, Any], timeout: float = 300) -> Any:
        """Run something in its thread, and return the result."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout)

    def call(self, what: Any, *arguments: Any) -> Any:
        """The same for a function."""

        async def calling() -> Any:
            return what(*arguments)

        return self.run(calling())

    def apply(self, manifests: list[Manifest]) -> None:
        """`kubectl apply`."""
        # ConfigMaps of earlier revisions stay.
        self.manifests |= {(one["kind"], one["metadata"]["name"]): one for one in manifests}
        self.call(self.deployment.apply, self.manifests["Deployment", "web"])

    @property
    def settled(self) -> bool:
        """Whether the last revision is rolled out: its pods are endpoints, none is terminating."""
        deployment = self.deployment
        return deployment.rolled_out and all(
            pod in deployment.service.endpoints and not pod.terminating for pod in deployment.pods
        )

    @property
    def version(self) -> str:
        """The tag of the app's image in the last revision."""
        return self.deployment.template["spec"]["initContainers"][0]["image"].rpartition(":")[2]

    async def logs(self) -> str:
        """All that the containers have written so far."""
        pods = [*self.deployment.terminated, *self.deployment.pods]
        running = [await one.log() for pod in pods if not pod.gone for one in pod.containers]
        return "".join([*(pod.logs for pod in pods), *running])

    def describe(self) -> str:
        """What has happened, for a test that fails."""
        pods = [*self.deployment.terminated, *self.deployment.pods]
        events = [f"{pod.name} {event}" for pod in pods for event in pod.events]
        return "\n".join([*events, self.run(self.logs())[-20_000:]])

    def config_map(self, name: str) -> dict[str, str]:
        return self.manifests["ConfigMap", name]["data"]

    def secret(self, spec: Manifest) -> str:
        return f"{self.name}-{spec['secretName']}"

    async def _set_up(self) -> None:
        volume = f"{self.name}-secrets"
        await docker("volume", "create", self.label, volume)
        # Owned by root and fsGroup, with the mode of the manifest.
        script = 'cat >"/s/$1" && chown 0:10001 "/s/$1" && chmod 0440 "/s/$1"'
        for name, content in self._secrets.items():
            await docker(
                *("run", "--rm", "--interactive", "--user=0:0", f"--volume={volume}:/s"),
                *("--entrypoint=sh", self.pause, "-c", script, "sh", name),
                stdin=content.encode(),
            )
        await self.deployment.service.start()
        self._controller = asyncio.create_task(self._control())

    async def _control(self) -> None:
        while True:
            if self.deployment.revisions:
                self.deployment.control()
            await asyncio.sleep(RESYNC)

    async def _tear_down(self) -> None:
        self._controller.cancel()
        self.deployment.service.stop()
        await asyncio.gather(*(pod.remove() for pod in self.deployment.pods))
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await docker("volume", "rm", "--force", f"{self.name}-secrets", check=False)


def _size(quantity: str) -> str:
    """A quantity of Kubernetes, as Docker writes it."""
    return f"{quantity[:-2]}{UNITS[quantity[-2:]]}"
