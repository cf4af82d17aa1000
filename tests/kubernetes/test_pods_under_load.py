"""Pods that come and go under load, as a kubelet runs them: no request is lost, or run twice."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest

from tests.kubernetes.conftest import FILE, REQUESTS
from tests.kubernetes.kubelet import Node, Pod, docker
from tests.kubernetes.rendering import Manifest
from tests.rollout.load import Load
from tests.servers import until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]

Release = Callable[..., list[Manifest]]


def load_on(node: Node) -> AbstractContextManager[Load]:
    """300 requests a second, before, during and after a change."""
    return Load(node.deployment.service.port).around(REQUESTS)


@contextmanager
def nothing_lost(node: Node) -> Iterator[Load]:
    with load_on(node) as load:
        yield load
    assert not load.failed, f"{load.summary()}\n{node.describe()}"
    assert not load.miscounted(counted(node))


def counted(node: Node) -> list[str]:
    """What the app has counted, in all pods."""
    return re.findall(r"\bcounted ([\w-]+)", node.run(node.logs()))


def settled(node: Node) -> None:
    until(lambda: node.settled, f"a change\n{node.describe()}", 300)


def serving(node: Node) -> list[Pod]:
    return [pod for pod in node.deployment.pods if not pod.terminating]


def test_a_rolling_update_and_an_undo(node: Node, release: Release) -> None:
    old = node.version
    new = "2" if old == "1" else "1"
    with nothing_lost(node) as load:
        node.apply(release(new, previous=old))
        until(lambda: node.deployment.rolled_out, "the rollout", 300)
        # A page of the old release asks for its files.
        for pod in serving(node):
            for version in (old, new):
                url = f"http://{pod.address}:8080/path/{FILE.format(version)}"
                assert (
                    httpx.get(url, headers={"Host": "localhost"}, trust_env=False).text == "b{}\n"
                )
        node.call(node.deployment.undo)
        settled(node)
    assert load.versions() == [old, new]
    assert node.version == old


def test_metrics_the_release_step_and_a_process(node: Node) -> None:
    pod = serving(node)[0]
    seen = httpx.get(f"http://{pod.address}:{pod.port('metrics')}/metrics", trust_env=False).text
    assert f'uwsgi_live_instance_info{{name="{pod.name}"}} 1.0' in seen
    release, worker = (
        node.call(Pod, node, f"{node.name}-{name}", node.manifests[kind, name]["spec"]["template"])
        for kind, name in (("Job", "release"), ("Deployment", "worker"))
    )
    try:
        until(lambda: release.main[0].done, "the end of the release step")
        until(lambda: worker.ready, "the process")
        assert "released" in node.run(release.main[0].log())
        assert "works" in node.run(worker.main[0].log())
    finally:
        for pod in (release, worker):
            node.run(pod.delete())


def test_a_release_that_is_broken(node: Node, release: Release) -> None:
    old = node.version
    with nothing_lost(node) as load:
        node.apply(release("broken"))
        broken = until(lambda: serving(node)[2:], "a pod of the new release")[0]
        until(lambda: broken.container("app").starts > 1, "it to fail", 300)
        assert not node.deployment.rolled_out
        assert not broken.ready
        node.call(node.deployment.undo)
        settled(node)
    assert load.versions() == [old]


def test_a_drain(node: Node) -> None:
    """All pods of a node are evicted, as fast as the PodDisruptionBudget allows."""
    old = serving(node)
    budget = node.manifests["PodDisruptionBudget", "web"]
    with nothing_lost(node):
        for pod in old:
            until(lambda pod=pod: node.call(node.deployment.evict, pod, budget), "an eviction", 300)
        settled(node)
    assert not {*old} & {*serving(node)}
    for pod in old:
        events = [event.partition(" ")[2] for event in pod.events]
        nginx, app = (f"{pod.name}-{name} has stopped" for name in ("nginx", "app"))
        assert events.index("deleted") < events.index(nginx) < events.index(app)


@pytest.mark.parametrize("container", ["app", "nginx"])
def test_a_container_that_is_killed(node: Node, container: str) -> None:
    """Or that ran out of memory: the kernel then kills all of its processes."""
    pods = serving(node)
    victim = pods[0].container(container)
    starts = {one: one.starts for pod in pods for one in pod.containers}
    with load_on(node) as load:
        node.run(docker("kill", "--signal=KILL", victim.name))
        until(lambda: victim.starts > starts[victim], "a restart")
        settled(node)
        up_again = time.monotonic()
    # The same pods, and no other container was started again.
    assert serving(node) == pods
    starts[victim] += 1
    assert {one: one.starts for one in starts} == starts
    assert not [one for one in load.requests if one.problem and one.sent > up_again]
    # None was run twice.
    counts = counted(node)
    assert len(counts) == len({*counts})
