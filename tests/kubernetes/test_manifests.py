"""The manifests of deploy/kubernetes: valid, hardened, and in agreement with the rest."""

import os
import re
from pathlib import Path

import kubernetes_validate
import pytest

from tests.kubernetes.rendering import (
    COMPONENTS,
    KUBERNETES,
    Manifest,
    RenderingError,
    containers,
    kustomize,
    pick,
    pods,
    render,
)
from tests.servers import KNOBS, PROJECT

# The three newest that the validator has.
VERSIONS = list(dict.fromkeys(kubernetes_validate.utils.all_versions()))[-3:]
# Not of Kubernetes itself, so the validator has no schemas for them.
OTHERS = {"HTTPRoute", "PodMonitor", "ScaledObject"}
# All components that go together: two autoscalers do not.
TOGETHER = [name for name in COMPONENTS if name != "autoscaling/keda"]
WORKLOADS = ["web", "release", "worker", "clock"]
TIMEOUTS = {name: int(KNOBS[name]) for name in KNOBS if name.endswith("TIMEOUT")}
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
VOLUMES |= {"projected", "secret"}
SECCOMP = {"RuntimeDefault", "Localhost"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return render(tmp_path_factory.mktemp("site"), components=TOGETHER)


@pytest.fixture(scope="module")
def web(everything: list[Manifest]) -> Manifest:
    """The pod of nginx and the app."""
    return pods(everything)["web"]


def container(pod: Manifest, name: str) -> Manifest:
    return next(one for one in containers(pod) if one["name"] == name)


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_valid(everything: list[Manifest], version: str) -> None:
    checked = [one for one in everything if one["kind"] not in OTHERS]
    assert len(checked) > 10
    for one in checked:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_validator_finds_a_misspelt_field(web: Manifest) -> None:
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": web["spec"]}
    kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)
    wrong["spec"] = web["spec"] | {"initContainer": []}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_is_usable_alone(component: str, tmp_path: Path) -> None:
    manifests = render(tmp_path, "base", [component])
    assert len(manifests) > len(render(tmp_path, "base")) or component == "previous-release"


# --- Hardening ---


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_conform_to_the_restricted_standard(everything: list[Manifest], name: str) -> None:
    spec = pods(everything)[name]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    of_pod = spec["securityContext"]
    assert "sysctls" not in of_pod
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= VOLUMES, volume
    for one in containers(pods(everything)[name]):
        context = of_pod | one["securityContext"]
        assert context["runAsNonRoot"] is True, one["name"]
        assert context["runAsUser"] > 0, one["name"]
        assert context["allowPrivilegeEscalation"] is False, one["name"]
        assert context["capabilities"] == {"drop": ["ALL"]}, one["name"]
        assert context["seccompProfile"]["type"] in SECCOMP, one["name"]
        assert "privileged" not in context, one["name"]
        assert not any("hostPort" in port for port in one.get("ports", ())), one["name"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_have_limits_and_no_token_and_write_to_volumes_only(
    everything: list[Manifest], name: str
) -> None:
    pod = pods(everything)[name]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["enableServiceLinks"] is False
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for one in containers(pod):
        assert one["securityContext"]["readOnlyRootFilesystem"] is True, one["name"]
        assert one["resources"]["limits"].keys() == {"cpu", "memory"}, one["name"]
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}, one["name"]
        for mount in one["volumeMounts"]:
            assert mount["name"] in volumes, mount
    for volume in volumes.values():
        assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume
    mounted = {mount["name"] for one in containers(pod) for mount in one["volumeMounts"]}
    assert mounted == volumes.keys()


def test_secrets_reach_the_app_only(web: Manifest) -> None:
    nginx = container(web, "nginx")
    assert not any(mount["name"] == "secrets" for mount in nginx["volumeMounts"])
    assert nginx["envFrom"] == [one for one in nginx["envFrom"] if "configMapRef" in one]


def test_nginx_cannot_write_to_what_the_app_gives_it(web: Manifest) -> None:
    own = {"/run/web/nginx", "/run/web/spool"}
    for mount in container(web, "nginx")["volumeMounts"]:
        assert mount.get("readOnly", False) != (mount["mountPath"] in own), mount
        if mount["name"] == "run":
            # The volume's root has the mode 2777.
            assert mount["subPath"] == "sockets"


# --- Agreement with the images ---


def test_users_and_groups_are_those_of_the_images(everything: list[Manifest]) -> None:
    users = {"app": 10001, "nginx": 10002, "previous": 10001}
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert "\nUSER 10001:10001\n" in dockerfile
    assert "\nUSER 10002:10001\n" in dockerfile
    for name in WORKLOADS:
        spec = pods(everything)[name]["spec"]
        assert spec["securityContext"]["fsGroup"] == 10001
        for one in containers(pods(everything)[name]):
            context = spec["securityContext"] | one["securityContext"]
            assert context["runAsUser"] == users[one["image"]], one["name"]
            assert context["runAsGroup"] == 10001, one["name"]


def test_healthchecks_are_those_of_the_images(web: Manifest) -> None:
    checks = re.findall(r"HEALTHCHECK .*\\\n    CMD (\[.*\])", (PROJECT / "Dockerfile").read_text())
    for name in ("app", "nginx"):
        command = container(web, name)["startupProbe"]["exec"]["command"]
        assert f'["{"; ".join(command)}"]'.replace("; ", '", "') in checks


def test_the_app_starts_before_nginx_and_stops_after_it(web: Manifest) -> None:
    sidecars = [one["name"] for one in web["spec"]["initContainers"] if "restartPolicy" in one]
    assert sidecars == ["app", "metrics"]
    assert "startupProbe" in container(web, "app"), "nginx waits for it"
    assert [one["name"] for one in web["spec"]["containers"]] == ["nginx"]


# --- Times ---


def test_the_stop_timeout_follows_from_the_others(
    everything: list[Manifest], web: Manifest
) -> None:
    sleep = container(web, "nginx")["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = web["spec"]["terminationGracePeriodSeconds"]
    assert grace == sleep + TIMEOUTS["REQUEST_TIMEOUT"] + 10
    for name in ("worker", "clock"):
        spec = pods(everything)[name]["spec"]
        assert spec["terminationGracePeriodSeconds"] == TIMEOUTS["PROCESSES_STOP_TIMEOUT"] + 10


def test_connections_leave_a_pod_before_it_stops(everything: list[Manifest], web: Manifest) -> None:
    sleep = container(web, "nginx")["lifecycle"]["preStop"]["sleep"]["seconds"]
    lifetime = int(pick(everything, "ConfigMap", "settings")["data"]["CONNECTION_LIFETIME"])
    propagation = 5  # seconds until the last node has removed the endpoint
    assert propagation + lifetime < sleep


def test_a_start_may_take_as_long_as_it_may_elsewhere(web: Manifest) -> None:
    probe = container(web, "app")["startupProbe"]
    # The apps are loaded twice: by the preflight and by uWSGI.
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 2 * TIMEOUTS["START_TIMEOUT"]


# --- Settings ---


def test_all_settings_are_knobs(everything: list[Manifest]) -> None:
    assert pick(everything, "ConfigMap", "settings")["data"].keys() <= KNOBS.keys()
    own = {"STATIC_OF"}  # between two parts of the bundle
    for pod in pods(everything).values():
        for one in containers(pod):
            assert {given["name"] for given in one.get("env", ())} <= KNOBS.keys() | own


def test_a_changed_setting_is_a_rollout(tmp_path: Path) -> None:
    before, after = (
        pods(render(tmp_path, settings={"SERVER_NAMES": "example.com", "THREADS": threads}))
        for threads in ("4", "8")
    )
    assert before["web"] != after["web"]


def test_your_settings_override_those_of_production(tmp_path: Path) -> None:
    own = {"SERVER_NAMES": "example.com", "TRUSTED_PROXIES": "10.1.0.0/16"}
    manifests = render(tmp_path, settings=own)
    data = pick(manifests, "ConfigMap", "settings")["data"]
    assert data["TRUSTED_PROXIES"] == "10.1.0.0/16"
    assert data["ENVIRONMENT"] == "production"


def test_images_are_named_once(tmp_path: Path) -> None:
    images = [
        {"name": name, "newName": f"registry.example.com/{name}", "newTag": "7"}
        for name in ("app", "nginx", "previous")
    ]
    manifests = render(tmp_path, components=TOGETHER, images=images)
    used = {one["image"] for pod in pods(manifests).values() for one in containers(pod)}
    assert used == {f"registry.example.com/{name}:7" for name in ("app", "nginx", "previous")}


def test_the_host_name_is_typed_once(tmp_path: Path) -> None:
    settings = {"SERVER_NAMES": "example.com *.example.com"}
    manifests = render(tmp_path, "base", ["gateway", "ingress"], settings)
    assert pick(manifests, "HTTPRoute")["spec"]["hostnames"] == ["example.com"]
    spec = pick(manifests, "Ingress")["spec"]
    assert [rule["host"] for rule in spec["rules"]] == spec["tls"][0]["hosts"] == ["example.com"]


def test_a_route_without_a_host_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RenderingError, match="SERVER_NAMES"):
        render(tmp_path, components=["gateway"], settings={})


def test_the_document_has_what_is_needed(tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "kubernetes.md").read_text()
    first, kustomization, *rest = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert len(first.splitlines()) <= 10
    here = os.path.relpath(KUBERNETES, tmp_path)

    def rendered(more: str = "") -> list[Manifest]:
        written = (kustomization + more).replace("../deploy/kubernetes", here)
        (tmp_path / "kustomization.yml").write_text(written)
        return kustomize(tmp_path)

    manifests = rendered()
    assert pick(manifests, "Ingress")["spec"]["rules"][0]["host"] == "shop.example.com"
    assert "shop:1" in str(pods(manifests)["web"])
    # And each of its patches fits.
    patches = [block for block in rest if block.startswith("patches:\n")]
    assert len(patches) == 2
    for patch in patches:
        assert rendered(patch) != manifests


# --- References ---


def test_selectors_and_targets_exist(everything: list[Manifest], tmp_path: Path) -> None:
    template = pods(everything)["web"]
    labels = template["metadata"]["labels"].items()
    ports = {port["name"] for one in containers(template) for port in one.get("ports", ())}
    service = pick(everything, "Service")["spec"]
    assert service["selector"].items() <= labels
    assert service["ports"][0]["targetPort"] in ports
    assert (
        pick(everything, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    )
    monitor = pick(everything, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels
    assert monitor["podMetricsEndpoints"][0]["port"] in ports
    backend = pick(everything, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]
    assert backend == {"name": "web", "port": service["ports"][0]["port"]}
    backend = pick(everything, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert backend["service"] == {"name": "web", "port": {"name": service["ports"][0]["name"]}}
    autoscaler = pick(everything, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "web"
    assert any(
        one["name"] == autoscaler["metrics"][0]["containerResource"]["container"]
        for one in containers(template)
    )
    with_keda = render(tmp_path, components=["autoscaling/keda"])
    scaled = pick(with_keda, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "web"
    for one in (everything, with_keda):
        assert "replicas" not in pick(one, "Deployment")["spec"], "the autoscaler's"


def test_autoscaling_asks_for_metrics_that_exist() -> None:
    query = (KUBERNETES / "autoscaling" / "keda" / "scaled-object.yml").read_text()
    names = set(re.findall(r"\b(?:uwsgi|nginx)_\w+", query))
    assert names == {"uwsgi_worker_busy_cores", "uwsgi_listen_queue_length"}
    exporter = (PROJECT / "deploy" / "server" / "metrics" / "workers.py").read_text()
    assert '("busy_cores", "Threads that have a request."' in exporter
    assert '("listen_queue_length", backlog' in exporter


@pytest.mark.parametrize("name", ["worker", "clock"])
def test_processes_are_those_of_the_procfile(everything: list[Manifest], name: str) -> None:
    (one,) = pods(everything)[name]["spec"]["containers"]
    assert {"name": "PROCESSES", "value": f"{name}=1"} in one["env"]
    assert one["command"] == ["python", "-m", "deploy", "processes"]
    # As in Compose.
    services = (PROJECT / "deploy" / "compose" / "services.yml").read_text()
    assert f'"{one["readinessProbe"]["exec"]["command"][-1]}"]' in services


def test_a_clock_never_runs_twice(everything: list[Manifest]) -> None:
    # A Deployment replaces a pod that is still terminating, a StatefulSet does not.
    assert pick(everything, "StatefulSet", "clock")["spec"]["replicas"] == 1
