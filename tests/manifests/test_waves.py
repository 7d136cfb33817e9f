"""What Argo CD installs: from where, whereto, in which order, and what it waits for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]  # the Lua that Argo CD has

from tests.manifests.rendered import K8S, Thing, documents, named, read

pytestmark = pytest.mark.xdist_group("manifests")

KATA = {"kata-fc", "kata-clh", "kata-qemu"}
AUTOMATED = {"prune": True, "selfHeal": True}
MAKERS = {
    "alloy": "https://grafana.github.io/helm-charts",
    "argo-cd": "https://argoproj.github.io/argo-helm",
    "kata-deploy": "ghcr.io/kata-containers/kata-deploy-charts",
    "kube-prometheus-stack": "https://prometheus-community.github.io/helm-charts",
    "loki": "https://grafana-community.github.io/helm-charts",
    "sealed-secrets": "https://bitnami.github.io/sealed-secrets",
}
"""Where each chart's makers publish it: nobody else's is taken."""


def test_the_applications_come_in_waves(manifests: dict[str, list[Thing]]) -> None:
    applications = [t for t in manifests["apps"] if t["kind"] == "Application"]
    waves = {
        t["metadata"]["name"]: int(t["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for t in applications
    }
    order = ["sealed-secrets", "base", "storage", "controlplane", "prometheus", "monitoring"]
    assert [waves[name] for name in order] == sorted(waves[name] for name in order)
    assert len({waves[name] for name in order}) == len(order)
    assert waves["kata-deploy"] <= waves["base"]
    assert waves["loki"] == waves["alloy"] == waves["prometheus"]


def test_what_the_bot_does_without_does_not_hold_it_up(manifests: dict[str, list[Thing]]) -> None:
    nobody_waits = {
        t["metadata"]["name"]
        for t in manifests["apps"]
        if t["metadata"].get("annotations", {}).get("army/nobody-waits") == "true"
    }
    assert nobody_waits == {"storage", "kata-deploy", "loki", "alloy"}


@pytest.fixture
def health(manifests: dict[str, list[Thing]]) -> Callable[[Thing], str]:
    """What our health check says of an application."""
    [values] = documents(named(manifests["infrastructure-argocd"], "HelmChart", "argocd")["spec"]["valuesContent"])
    text = values["configs"]["cm"]["resource.customizations.health.argoproj.io_Application"]
    lua = LuaRuntime(unpack_returned_tuples=True)
    check = lua.execute(f"return function(obj) {text} end")
    return lambda application: str(check(lua.table_from(application, recursive=True)).status)


def application(*notes: str, **status: Any) -> Thing:
    metadata = {"name": "a", "annotations": dict.fromkeys(notes, "true")} if notes else {"name": "a"}
    return {"metadata": metadata, "status": status} if status else {"metadata": metadata}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({}, "Progressing"),
        ({"sync": {"status": "OutOfSync"}}, "Progressing"),
        ({"health": {"status": "Degraded"}, "operationState": {"phase": "Succeeded"}}, "Degraded"),
        ({"health": {"status": "Healthy"}}, "Progressing"),
        ({"health": {"status": "Healthy"}, "operationState": {"phase": "Running"}}, "Progressing"),
        (
            {"health": {"status": "Healthy"}, "operationState": {"phase": "Failed"}, "sync": {"status": "OutOfSync"}},
            "Progressing",
        ),
        ({"health": {"status": "Healthy"}, "operationState": {"phase": "Succeeded"}}, "Healthy"),
        ({"health": {"status": "Healthy"}, "sync": {"status": "Synced"}}, "Healthy"),
    ],
)
def test_a_wave_waits_until_what_is_in_it_is_applied_and_well(
    health: Callable[[Thing], str], seen: Thing, said: str
) -> None:
    assert health(application(**seen)) == said
    assert health(application("another/note", **seen)) == said
    assert health(application("army/nobody-waits", **seen)) == "Healthy"


def test_the_whole_in_one_piece_has_all_that_argo_cd_brings_in_waves(manifests: dict[str, list[Thing]]) -> None:
    by_hand = {"k8s/infrastructure/argocd", "k8s/infrastructure/sealed-secrets"}
    whole = {(t["kind"], t["metadata"].get("namespace"), t["metadata"]["name"]) for t in manifests["overlays-prod"]}
    for thing in manifests["apps"]:
        path = thing["spec"].get("source", {}).get("path")
        if thing["kind"] == "Application" and path not in {None, *by_hand}:
            for part in manifests[path.removeprefix("k8s/").replace("/", "-")]:
                assert (part["kind"], part["metadata"].get("namespace"), part["metadata"]["name"]) in whole


def test_the_root_brings_the_others_and_not_itself(manifests: dict[str, list[Thing]]) -> None:
    root = read(K8S / "apps" / "root.yaml")
    assert root["spec"]["source"]["path"] == "k8s/apps"
    assert not [t for t in manifests["apps"] if t["metadata"]["name"] == root["metadata"]["name"]]
    addresses = {s["repoURL"] for t in manifests["apps"] for s in [t["spec"].get("source", {})] if "path" in s}
    assert addresses == {root["spec"]["source"]["repoURL"]}


def test_every_application_leads_to_something_that_its_project_allows(manifests: dict[str, list[Thing]]) -> None:
    project = named(manifests["apps"], "AppProject", "army")["spec"]
    places = {place["namespace"] for place in project["destinations"]}
    for thing in manifests["apps"]:
        if thing["kind"] != "Application":
            continue
        spec, name = thing["spec"], thing["metadata"]["name"]
        assert spec["destination"]["namespace"] in places, name
        for source in spec.get("sources", [spec.get("source")]):
            assert source["repoURL"] in project["sourceRepos"], name
            if "path" in source:
                assert (K8S.parent / source["path"] / "kustomization.yaml").exists()
            for values in source.get("helm", {}).get("valueFiles", []):
                assert read(K8S.parent / values.removeprefix("$values/")), name


def test_every_application_is_kept_in_step_where_its_parts_are(manifests: dict[str, list[Thing]]) -> None:
    spaces = {t["metadata"]["name"] for things in manifests.values() for t in things if t["kind"] == "Namespace"}
    for thing in (*manifests["apps"], read(K8S / "apps" / "root.yaml")):
        if thing["kind"] != "Application":
            continue
        spec, name = thing["spec"], thing["metadata"]["name"]
        assert spec["syncPolicy"]["automated"] == AUTOMATED, name
        path = spec.get("source", {}).get("path", "")
        parts = manifests.get(path.removeprefix("k8s/").replace("/", "-"), [])
        places = {name} if name in spaces else {part["metadata"].get("namespace") for part in parts}
        assert not parts or spec["destination"]["namespace"] in places, name


def test_every_chart_comes_from_its_makers(manifests: dict[str, list[Thing]]) -> None:
    sources = [s for t in manifests["apps"] if t["kind"] == "Application" for s in t["spec"].get("sources", [])]
    charts = {source["chart"]: source["repoURL"] for source in sources if "chart" in source}
    for things in manifests.values():
        charts |= {t["spec"]["chart"]: t["spec"]["repo"] for t in things if t["kind"] == "HelmChart"}
    assert charts == MAKERS


def test_the_values_of_argo_cd_and_the_sealed_secrets_are_yaml(manifests: dict[str, list[Thing]]) -> None:
    argocd = named(manifests["infrastructure-argocd"], "HelmChart", "argocd")["spec"]
    sealed = named(manifests["infrastructure-sealed-secrets"], "HelmChart", "sealed-secrets")["spec"]
    [values] = documents(argocd["valuesContent"])
    assert "resource.customizations.health.argoproj.io_Application" in values["configs"]["cm"]
    [values] = documents(sealed["valuesContent"])
    assert (values["fullnameOverride"], sealed["targetNamespace"]) == ("sealed-secrets-controller", "kube-system")


def test_who_is_named_in_the_charts_values_is_there(manifests: dict[str, list[Thing]]) -> None:
    releases = {
        (source["helm"]["releaseName"], t["spec"]["destination"]["namespace"])
        for t in manifests["apps"]
        for source in t["spec"].get("sources", [])
        if "helm" in source
    }
    services = {(t["metadata"]["name"], t["metadata"]["namespace"]) for t in manifests["controlplane"]}
    text = "".join(path.read_text("utf-8") for path in (K8S / "infrastructure").rglob("*values.yaml"))
    hosts = set(re.findall(r"http://([a-z-]+)\.([a-z-]+)\.svc", text))
    assert hosts == {("loki", "monitoring"), ("army-bot", "controlplane")}
    assert hosts <= releases | services


def test_kata_leaves_the_runtime_classes_to_us() -> None:
    values = read(K8S / "infrastructure/kata-deploy/values.yaml")
    assert values["runtimeClasses"] == {"enabled": False}
    assert {f"kata-{shim}" for shim in values["shims"] if shim != "disableAll"} == KATA
    assert values["nodeSelector"], "it would touch nodes without KVM"
