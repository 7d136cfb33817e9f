"""Every object is one that a cluster accepts, and keeps what all of ours keep."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.manifests.rendered import K8S, ROOT, Thing, containers, documents, named, pods, read, schema

pytestmark = pytest.mark.xdist_group("manifests")

VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
IMAGE = re.compile(r"^[a-z0-9.-]+(/[a-z0-9._-]+)+(:(?P<tag>[A-Za-z0-9._-]+))?(@sha256:[0-9a-f]{64})?$")
OF_STORAGE = {"nfs-server"}


def utils() -> list[Thing]:
    """What people apply by hand, file by file."""
    files = [*(K8S / "utils").glob("*.yaml"), K8S / "apps" / "root.yaml"]
    return [t for path in sorted(files) for t in documents(path.read_text("utf-8")) if t["kind"] != "Kustomization"]


def everything(manifests: dict[str, list[Thing]]) -> list[Thing]:
    return [*chain.from_iterable(manifests.values()), *utils()]


def test_every_folder_that_the_architecture_names_renders(manifests: dict[str, list[Thing]]) -> None:
    assert manifests.keys() >= {
        "apps",
        "base",
        "controlplane",
        "infrastructure-argocd",
        "infrastructure-monitoring",
        "infrastructure-sealed-secrets",
        "overlays-dev",
        "overlays-kvm",
        "overlays-prod",
        "overlays-prod-base",
        "overlays-prod-controlplane",
        "storage",
        "utils",
    }
    assert all(manifests.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_of_kubernetes_own_kinds_is_strictly_valid(
    manifests: dict[str, list[Thing]], version: str
) -> None:
    seen: set[str] = set()
    for thing in everything(manifests):
        if schema(thing["kind"]) is None and repr(thing) not in seen:
            seen.add(repr(thing))
            kubernetes_validate.validate(thing, version, strict=True)
    assert len(seen) > 25


def test_every_object_of_a_foreign_kind_is_as_its_schema_says(manifests: dict[str, list[Thing]]) -> None:
    kinds = set()
    for thing in everything(manifests):
        if (wanted := schema(thing["kind"])) is not None:
            kinds.add(thing["kind"])
            jsonschema.validate(thing, wanted)
    assert kinds >= {"Application", "AppProject", "HelmChart", "PrometheusRule", "SealedSecret", "ServiceMonitor"}


@pytest.mark.parametrize(
    ("kind", "break_it"),
    [
        ("PrometheusRule", lambda t: t["spec"]["groups"][0]["rules"][0].update(fore="5m")),
        ("Application", lambda t: t["spec"].update(sourcs=[])),
        ("ServiceMonitor", lambda t: t["spec"]["endpoints"][0].update(portt="http")),
        ("SealedSecret", lambda t: t["spec"].pop("encryptedData")),
    ],
)
def test_a_schema_refuses_what_is_misspelt(manifests: dict[str, list[Thing]], kind: str, break_it: Any) -> None:
    thing = next(t for t in everything(manifests) if t["kind"] == kind)
    copy = read_copy(thing)
    break_it(copy)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(copy, schema(kind))


def read_copy(thing: Thing) -> Any:
    return yaml.safe_load(yaml.safe_dump(thing))


def test_no_object_stands_twice_in_one_rendering(manifests: dict[str, list[Thing]]) -> None:
    for name, things in manifests.items():
        keys = [(t["apiVersion"], t["kind"], t["metadata"].get("namespace"), t["metadata"]["name"]) for t in things]
        assert len(set(keys)) == len(keys), name


def test_every_object_says_whose_it_is(manifests: dict[str, list[Thing]]) -> None:
    for thing in chain.from_iterable(manifests.values()):
        assert thing["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == "army", thing["metadata"]


def test_every_image_is_pinned(manifests: dict[str, list[Thing]]) -> None:
    for name, spec in pods(everything(manifests)):
        for container in containers(spec):
            found = IMAGE.match(container["image"])
            assert found, f"{name}: {container['image']}"
            assert "@" in container["image"] or found["tag"] not in {None, "latest", "main"}, f"{name}: {container}"


def test_the_images_are_of_this_version(manifests: dict[str, list[Thing]]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for overlay in ("overlays-dev", "overlays-prod", "overlays-kvm", "controlplane"):
        [bot] = named(manifests[overlay], "Deployment", "army-bot")["spec"]["template"]["spec"]["containers"]
        settings = named(manifests[overlay], "ConfigMap", "army-bot-settings")["data"]
        registry = bot["image"].removesuffix(f"/bot:{version}")  # a fork has its own
        assert (bot["image"], settings["AGENT_IMAGE"]) == (f"{registry}/bot:{version}", f"{registry}/agent:{version}")


def test_every_pod_but_the_nfs_server_is_as_pod_security_restricted_wants(manifests: dict[str, list[Thing]]) -> None:
    seen = 0
    for name, spec in pods(everything(manifests)):
        if name.partition("/")[2] in OF_STORAGE:
            continue
        seen += 1
        whole = spec.get("securityContext", {})
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), name
        assert not any("hostPath" in volume for volume in spec.get("volumes", [])), name
        for container in containers(spec):
            own = {**whole, **container.get("securityContext", {})}
            assert own.get("runAsNonRoot") is True, name
            assert own.get("runAsUser") != 0, name
            assert own["seccompProfile"]["type"] == "RuntimeDefault", name
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"]["drop"] == ["ALL"], name
            assert not own.get("privileged"), name
    assert seen


def test_every_container_says_what_it_needs(manifests: dict[str, list[Thing]]) -> None:
    for name, spec in pods(everything(manifests)):
        for container in containers(spec):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_only_the_bot_and_who_changes_the_login_have_a_token(manifests: dict[str, list[Thing]]) -> None:
    with_token = {
        name
        for name, spec in pods(list(chain.from_iterable(manifests.values())))
        if spec.get("automountServiceAccountToken") is not False
    }
    assert with_token <= {"Deployment/army-bot", "CronJob/login-refresh", "Pod/cli-login"}


def test_no_secret_lies_open(manifests: dict[str, list[Thing]]) -> None:
    secrets = [thing for thing in everything(manifests) if thing["kind"] == "Secret"]
    assert not [thing["metadata"]["name"] for thing in secrets if {"data", "stringData"} & set(thing)]


def test_whatever_listens_on_a_nodes_port_keeps_the_callers_address(
    manifests: dict[str, list[Thing]],
) -> None:
    ports = {}
    for thing in chain.from_iterable(manifests.values()):
        if thing["kind"] == "Service" and thing["spec"].get("type") == "NodePort":
            assert thing["spec"]["externalTrafficPolicy"] == "Local"
            ports[thing["metadata"]["name"]] = [p["nodePort"] for p in thing["spec"]["ports"]]
    assert ports == {"army-bot": [30080]}
    argocd = named(manifests["infrastructure-argocd"], "HelmChart", "argocd")["spec"]["valuesContent"]
    [values] = documents(argocd)
    assert values["server"]["service"]["nodePortHttp"] == 30880
    assert values["server"]["service"]["externalTrafficPolicy"] == "Local"
    grafana = read(K8S / "infrastructure/monitoring/prometheus.values.yaml")["grafana"]["service"]
    assert grafana == {"type": "NodePort", "nodePort": 30300, "externalTrafficPolicy": "Local"}
