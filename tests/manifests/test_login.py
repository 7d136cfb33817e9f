"""The manifests around the shared login, and the machines that agents run on."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.manifests.rendered import K8S, ROOT, Thing, documents, named, read

pytestmark = pytest.mark.xdist_group("manifests")

FOLDER = K8S / "storage" / "login"
RUNS = ["python3", "-I", "/opt/login"]


def mounted(spec: Thing, name: str) -> list[Thing]:
    return [m for c in spec["containers"] for m in c["volumeMounts"] if m["name"] == name]


def test_two_kinds_of_pods_write_the_login_and_they_use_one_program(manifests: dict[str, list[Thing]]) -> None:
    refresh = named(manifests["storage"], "CronJob", "login-refresh")["spec"]
    assert refresh["concurrencyPolicy"] == "Forbid"
    renewing = refresh["jobTemplate"]["spec"]["template"]["spec"]
    assert renewing["containers"][0]["command"] == [*RUNS, "renew"]
    program = named(manifests["storage"], "ConfigMap", "login")["data"]
    assert program == {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
    pod = named(manifests["utils"], "Pod", "cli-login")["spec"]
    check = named(manifests["utils"], "Job", "login-check")["spec"]["template"]["spec"]
    assert check["containers"][0]["command"] == [*RUNS, "check"]
    for spec in (pod, renewing):
        assert spec["serviceAccountName"] == "login"
        assert spec["automountServiceAccountToken"] is True
        assert not mounted(spec, "credentials")[0].get("readOnly")
    for spec in (pod, check, renewing):
        assert {v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v} == {"login"}
    assert not mounted(check, "credentials"), "it sees what agents see"
    (seen,) = [v["secret"]["secretName"] for v in check["volumes"] if "secret" in v]
    assert seen == named(manifests["storage"], "Secret", "agent-login")["metadata"]["name"]


def test_nobody_else_mounts_the_claim(manifests: dict[str, list[Thing]]) -> None:
    """Agents least of all: on it lies what renews the login."""
    users = set()
    for things in manifests.values():
        for thing in things:
            if "claimName: claude-credentials" in yaml.safe_dump(thing):
                users.add(thing["metadata"]["name"])
    assert users == {"login-refresh", "cli-login"}


def test_who_changes_the_login_may_do_that_and_reach_the_api(manifests: dict[str, list[Thing]]) -> None:
    role = named(manifests["storage"], "Role", "login")
    rights = {
        (resource, verb, *rule.get("resourceNames", []))
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights == {
        ("secrets", "patch", "agent-login"),
        ("leases", "create"),
        ("leases", "get", "agent-login"),
        ("leases", "update", "agent-login"),
    }
    [subject] = named(manifests["storage"], "RoleBinding", "login")["subjects"]
    assert subject["name"] == named(manifests["storage"], "ServiceAccount", "login")["metadata"]["name"]
    policy = named(manifests["storage"], "NetworkPolicy", "login")["spec"]
    [expression] = policy["podSelector"]["matchExpressions"]
    refresh = named(manifests["storage"], "CronJob", "login-refresh")["spec"]["jobTemplate"]["spec"]["template"]
    pods = [refresh, named(manifests["utils"], "Pod", "cli-login")]
    assert {pod["metadata"]["labels"][expression["key"]] for pod in pods} == set(expression["values"])


def test_the_secret_of_agents_comes_empty(manifests: dict[str, list[Thing]]) -> None:
    secret = named(manifests["storage"], "Secret", "agent-login")
    assert not {"data", "stringData"} & set(secret), "whoever applies it again must not empty it"


def test_the_volume_leads_to_the_server(manifests: dict[str, list[Thing]]) -> None:
    things = manifests["storage"]
    volume = named(things, "PersistentVolume", "claude-credentials")["spec"]
    service = named(things, "Service", "nfs-server")["spec"]
    claim = named(things, "PersistentVolumeClaim", "claude-credentials")
    assert volume["nfs"]["server"] == service["clusterIP"] == "10.43.101.214"
    assert (claim["spec"]["volumeName"], volume["claimRef"]["name"]) == ("claude-credentials", "claude-credentials")
    assert claim["metadata"]["namespace"] == volume["claimRef"]["namespace"] == "claude-agents"
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    [server] = named(things, "Deployment", "nfs-server")["spec"]["template"]["spec"]["containers"]
    assert server["securityContext"]["privileged"] is False
    assert "fsid=0" in server["env"][0]["value"]
    assert volume["nfs"]["path"] == "/", "fsid=0 makes the exported folder the root"


def test_every_image_of_ours_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    for path in [*(K8S / "utils").glob("*.yaml"), K8S / "storage" / "kustomization.yaml"]:
        text = path.read_text("utf-8")
        tags = re.findall(r"ghcr.io/rj-ai-army/\w+:(\S+)", text) + re.findall(r"newTag: (\S+)", text)
        assert set(tags) <= {version[1]}, path


# --- the machines ---


def test_the_cluster_is_closed_and_holds_no_secret() -> None:
    text = (K8S / "cluster" / "cluster.yaml").read_text("utf-8")
    [cluster] = documents(text)
    network = cluster["networking"]
    assert network["tailscale"]["enabled"] is True
    assert network["node_port_firewall_enabled"] is False
    assert {n for where in network["allowed_networks"].values() for n in where} == {
        network["private_network"]["subnet"]
    }
    assert cluster["create_load_balancer_for_the_kubernetes_api"] is False
    assert not re.search(r"tskey-|hetzner_token:|auth_key:", text)
    assert cluster["masters_pool"]["instance_count"] == 1
    [pool] = cluster["worker_node_pools"]
    assert pool["instance_count"] == 2


def test_the_workers_offer_what_the_class_gvisor_asks_for(manifests: dict[str, list[Thing]]) -> None:
    pool = read(K8S / "cluster" / "cluster.yaml")["worker_node_pools"][0]
    labels = {label["key"]: label["value"] for label in pool["labels"]}
    wanted = named(manifests["base"], "RuntimeClass", "gvisor")
    assert wanted["scheduling"]["nodeSelector"].items() <= labels.items()
    printf = next(c for c in pool["additional_pre_k3s_commands"] if "config-v3.toml.tmpl" in c)
    shown = subprocess.run(
        ["sh", "-c", printf.partition(" > ")[0]], capture_output=True, text=True, timeout=5, check=True
    ).stdout
    assert shown.startswith('{{ template "base" . }}\n')
    assert f"runtimes.{wanted['handler']}]" in shown
    for command in pool["additional_pre_k3s_commands"]:
        subprocess.run(["bash", "-n", "-c", command], timeout=5, check=True)
