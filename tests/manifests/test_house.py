"""The parts fit together: the bot's pod, rights and walls, what Argo CD installs and in which order."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Any

import pytest

from adapters.kubernetes import Guest
from adapters.kubernetes.pod import pod_of
from bot.reading import read_settings
from bot.settings import NAMES
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Gateway
from tests.manifests.rendered import K8S, Thing, documents, named, read

pytestmark = pytest.mark.xdist_group("manifests")

SEALED = 700
"""Characters of the shortest sealed value: the session key alone has more than 680."""

KATA = {"kata-fc", "kata-clh", "kata-qemu"}


def test_the_bot_is_alone_with_its_journal(manifests: dict[str, list[Thing]]) -> None:
    things = manifests["controlplane"]
    spec = named(things, "Deployment", "army-bot")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    pod = spec["template"]["spec"]
    [bot] = pod["containers"]
    mounts = {mount["mountPath"] for mount in bot["volumeMounts"]}
    settings = named(things, "ConfigMap", "army-bot-settings")["data"]
    assert mounts == {settings["DATA_DIR"], "/tmp"}
    assert bot["securityContext"]["readOnlyRootFilesystem"] is True
    claims = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
    assert claims == {named(things, "PersistentVolumeClaim", "army-bot-data")["metadata"]["name"]}
    assert bot["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert bot["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    [port] = bot["ports"]
    assert settings["HTTP_BIND"] == f"0.0.0.0:{port['containerPort']}"


@pytest.mark.parametrize(
    ("overlay", "runtime_class"),
    [
        ("controlplane", "kata-fc"),
        ("overlays-prod-controlplane", "gvisor"),
        ("overlays-kvm", "kata-clh"),
        ("overlays-dev", "none"),
    ],
)
def test_the_settings_are_settings(manifests: dict[str, list[Thing]], overlay: str, runtime_class: str) -> None:
    data = dict(named(manifests[overlay], "ConfigMap", "army-bot-settings")["data"])
    assert set(data) <= set(NAMES)
    settings = read_settings({**data, "WEB_TOKEN": "x" * 40})
    assert (settings.runtime, settings.kube_namespace) == ("kubernetes", "claude-agents")
    assert settings.runtime_class == data["RUNTIME_CLASS"] == runtime_class


def test_the_workers_offer_the_class_that_their_bot_asks_for(manifests: dict[str, list[Thing]]) -> None:
    data = named(manifests["overlays-prod"], "ConfigMap", "army-bot-settings")["data"]
    wanted = named(manifests["overlays-prod"], "RuntimeClass", data["RUNTIME_CLASS"])["scheduling"]["nodeSelector"]
    for pool in read(K8S / "cluster" / "cluster.yaml")["worker_node_pools"]:
        assert wanted.items() <= {label["key"]: label["value"] for label in pool["labels"]}.items()


def test_every_sealed_key_of_the_bot_is_a_setting(manifests: dict[str, list[Thing]]) -> None:
    sealed = named(manifests["overlays-prod-sealed-secrets"], "SealedSecret", "army-bot")
    assert set(sealed["spec"]["encryptedData"]) <= set(NAMES)
    assert sealed["spec"]["template"]["metadata"]["namespace"] == sealed["metadata"]["namespace"] == "controlplane"


def is_sealed(value: str) -> bool:
    """What kubeseal makes: a session key of 4096 bits behind its length, then what it encrypts."""
    try:
        return base64.b64decode(value, validate=True)[:2] == (512).to_bytes(2, "big") and len(value) > SEALED
    except binascii.Error:
        return False


def test_what_is_sealed_is_a_placeholder_or_sealed_and_never_the_secret_itself(
    manifests: dict[str, list[Thing]],
) -> None:
    for thing in manifests["overlays-prod-sealed-secrets"]:
        for key, value in thing["spec"]["encryptedData"].items():
            assert value.startswith("PLACEHOLDER") or is_sealed(value), f"{thing['metadata']['name']}: {key}"


@pytest.mark.parametrize("value", ["sk-ant-oat01-abc", "hunter2", base64.b64encode(b"x" * 900).decode(), ""])
def test_a_secret_that_lies_open_is_not_taken_for_a_sealed_one(value: str) -> None:
    assert not is_sealed(value)
    assert is_sealed(base64.b64encode(b"\x02\x00" + bytes(512) + b"and what is in it").decode())


def test_every_runtime_class_is_there_and_development_has_no_kata(manifests: dict[str, list[Thing]]) -> None:
    def classes(name: str) -> set[str]:
        return {t["metadata"]["name"] for t in manifests[name] if t["kind"] == "RuntimeClass"}

    assert classes("base") == classes("overlays-prod") == KATA | {"gvisor"}
    assert classes("overlays-dev") == {"gvisor"}
    for thing in manifests["base"]:
        if thing["kind"] == "RuntimeClass":
            assert thing["scheduling"]["nodeSelector"], "without it a pod hangs where the handler is missing"


def test_the_role_is_for_the_bot_among_the_agents_and_nowhere_else(manifests: dict[str, list[Thing]]) -> None:
    kinds = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    for overlay in ("overlays-dev", "overlays-prod"):
        granted = [t for t in manifests[overlay] if t["kind"] in kinds and t["metadata"]["name"] == "army-bot"]
        assert {(t["kind"], t["metadata"]["namespace"]) for t in granted} == {
            ("Role", "claude-agents"),
            ("RoleBinding", "claude-agents"),
        }
        assert not [t for t in manifests[overlay] if t["kind"].startswith("ClusterRole")]
    role = named(manifests["base"], "Role", "army-bot")
    rights = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {("pods/attach", "get"), ("pods/attach", "create")} <= rights
    assert not {name for pair in rights for name in pair} & {"*", "pods/exec", "impersonate", "escalate", "bind"}
    [subject] = named(manifests["base"], "RoleBinding", "army-bot")["subjects"]
    account = named(manifests["controlplane"], "ServiceAccount", "army-bot")["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_each_namespace_is_as_strict_as_it_can_be(manifests: dict[str, list[Thing]]) -> None:
    levels = {
        t["metadata"]["name"]: t["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for t in manifests["base"]
        if t["kind"] == "Namespace"
    }
    assert levels == {
        "claude-agents": "restricted",
        "controlplane": "restricted",
        "storage": "privileged",
        "monitoring": "privileged",
    }


def reaches(policy: Thing, address: str) -> bool:
    """Whether a policy lets its pods call this address."""
    wanted = ipaddress.ip_address(address)
    blocks: list[Any] = [
        peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer
    ]
    return any(
        wanted in ipaddress.ip_network(block["cidr"])
        and not any(wanted in ipaddress.ip_network(hole) for hole in block.get("except", []))
        for block in blocks
    )


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("10.42.0.7", "a pod, by k3s' own default"),
        ("10.43.0.1", "the API server's service"),
        ("10.244.1.9", "a pod"),
        ("10.0.0.2", "a node"),
        ("172.31.255.254", "a private network"),
        ("192.168.1.1", "a private network"),
        ("100.100.100.100", "the mesh"),
        ("169.254.169.254", "the provider's metadata"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "loopback by another name"),
        ("255.255.255.255", "everybody"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
        ("::1", "loopback"),
        ("::ffff:10.43.0.1", "the API server in disguise"),
        ("64:ff9b::a2b:1", "the API server behind a translator"),
        ("fd7a:115c:a1e0::1", "the mesh"),
    ],
)
def test_an_agent_does_not_reach(manifests: dict[str, list[Thing]], address: str, who: str) -> None:
    assert not reaches(named(manifests["overlays-prod"], "NetworkPolicy", "agents"), address), who


def test_an_agent_does_not_reach_the_nodes_by_their_public_addresses(manifests: dict[str, list[Thing]]) -> None:
    nodes = [ipaddress.ip_network(patch["value"]) for patch in read(K8S / "overlays" / "prod" / "base" / "nodes.yaml")]
    assert {network.version for network in nodes} == {4, 6}
    for network in nodes:
        assert not reaches(named(manifests["overlays-prod"], "NetworkPolicy", "agents"), str(network[0]))


@pytest.mark.parametrize("address", ["1.1.1.1", "160.79.104.10", "140.82.121.4", "11.0.0.1", "2606:4700::1111"])
def test_an_agent_reaches_the_internet(manifests: dict[str, list[Thing]], address: str) -> None:
    for name in ("base", "overlays-dev", "overlays-prod"):
        assert reaches(named(manifests[name], "NetworkPolicy", "agents"), address)


def test_an_agent_is_called_by_nobody_and_asks_only_the_clusters_own_names(manifests: dict[str, list[Thing]]) -> None:
    policy = named(manifests["overlays-prod"], "NetworkPolicy", "agents")["spec"]
    assert policy["podSelector"] == {}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["ingress"] == []
    inside = [rule for rule in policy["egress"] if not any("ipBlock" in peer for peer in rule["to"])]
    assert [{(p["protocol"], p["port"]) for p in rule["ports"]} for rule in inside] == [{("UDP", 53), ("TCP", 53)}]
    [[peer]] = [rule["to"] for rule in inside]
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_a_gateway_in_the_cluster_is_reached_by_those_alone_that_show_it_a_token(
    manifests: dict[str, list[Thing]],
) -> None:
    policy = named(manifests["overlays-prod"], "NetworkPolicy", "gateway")["spec"]
    agent = Agent(name="a", driver="claude", credential="gateway")
    guest = Guest(image="agent:1", gateway=Gateway("http://gateway.gateway.svc", lambda run, _: run))
    labels = pod_of(RunId("r-1"), agent, guest)["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    [[peer]] = [rule["to"] for rule in policy["egress"]]
    wanted = peer["namespaceSelector"]["matchLabels"]
    spaces = [t for things in manifests.values() for t in things if t["kind"] == "Namespace"]
    assert not [t for t in spaces if wanted.items() <= t["metadata"].get("labels", {}).items()]


def test_each_namespace_of_ours_is_closed_from_outside(manifests: dict[str, list[Thing]]) -> None:
    closed = {
        t["metadata"]["namespace"]
        for things in manifests.values()
        for t in things
        if t["kind"] == "NetworkPolicy"
        and t["spec"]["podSelector"] == {}
        and "Ingress" in t["spec"]["policyTypes"]
        and all(list(peer) == ["podSelector"] for rule in t["spec"].get("ingress") or [] for peer in rule["from"])
    }
    assert closed >= {"claude-agents", "controlplane", "monitoring", "argocd"}


# --- Argo CD ---


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
    [values] = documents(named(manifests["infrastructure-argocd"], "HelmChart", "argocd")["spec"]["valuesContent"])
    health = values["configs"]["cm"]["resource.customizations.health.argoproj.io_Application"]
    assert 'notes["army/nobody-waits"] == "true"' in health


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
