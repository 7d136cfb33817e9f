"""The parts fit together: the bot's pod and its rights, its settings and secrets, runtime classes and namespaces."""

from __future__ import annotations

import base64
import binascii

import pytest

from bot.reading import read_settings
from bot.settings import NAMES
from tests.kubeapi.bodies import quantity
from tests.manifests.rendered import K8S, Thing, named, read

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


def test_the_bots_pod_gets_its_settings_its_secrets_and_its_account(manifests: dict[str, list[Thing]]) -> None:
    things = manifests["overlays-prod"]
    pod = named(things, "Deployment", "army-bot")["spec"]["template"]["spec"]
    [bot] = pod["containers"]
    given = {kind: source["name"] for origin in bot["envFrom"] for kind, source in origin.items()}
    assert given == {
        "configMapRef": named(things, "ConfigMap", "army-bot-settings")["metadata"]["name"],
        "secretRef": named(things, "SealedSecret", "army-bot")["metadata"]["name"],
    }
    [subject] = named(things, "RoleBinding", "army-bot")["subjects"]
    assert pod["serviceAccountName"] == subject["name"]
    assert pod["automountServiceAccountToken"] is True, "it has no other way to the cluster's API"


def test_a_bot_that_opens_a_long_journal_or_is_not_ready_is_left_in_peace(manifests: dict[str, list[Thing]]) -> None:
    things = manifests["controlplane"]
    [bot] = named(things, "Deployment", "army-bot")["spec"]["template"]["spec"]["containers"]
    assert bot["startupProbe"]["httpGet"] == bot["livenessProbe"]["httpGet"]
    assert bot["startupProbe"]["periodSeconds"] * bot["startupProbe"]["failureThreshold"] >= 120
    service = named(things, "Service", "army-bot")["spec"]
    assert service["publishNotReadyAddresses"] is True, "its page says why it is not ready"
    assert [port["targetPort"] for port in service["ports"]] == [port["name"] for port in bot["ports"]]


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
            assert all(quantity(thing["overhead"]["podFixed"][what]) > 0 for what in ("cpu", "memory")), (
                "it is not free"
            )


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
        for t in (*manifests["base"], *manifests["infrastructure-argocd"])
        if t["kind"] == "Namespace"
    }
    assert levels == {
        "argocd": "baseline",
        "claude-agents": "restricted",
        "controlplane": "restricted",
        "storage": "privileged",
        "monitoring": "privileged",
    }
