"""The walls stand where they must and have the doors that are needed: agents, the bot, pages for people, the login."""

from __future__ import annotations

import ipaddress

import pytest

from adapters.kubernetes import Guest
from adapters.kubernetes.pod import pod_of
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Gateway
from tests.manifests.addresses import MESH, first, networks
from tests.manifests.rendered import K8S, Thing, named, read
from tests.manifests.walls import Guarded, blocks, called, callers, inside, reaches, rules

pytestmark = pytest.mark.xdist_group("manifests")

NAMES = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
"""Where the cluster's own names are asked for."""


def agent(*, guest: Guest, credential: str = "") -> Guarded:
    one = Agent(name="a", driver="claude", credential=credential)
    return Guarded("claude-agents", pod_of(RunId("r-1"), one, guest)["metadata"]["labels"])


AGENT = agent(guest=Guest(image="agent:1"))
OF_A_GATEWAY = agent(
    guest=Guest(image="agent:1", gateway=Gateway("http://gateway.gateway.svc", lambda run, _: run)),
    credential="gateway",
)


# --- agents ---


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
    for pod in (AGENT, OF_A_GATEWAY):
        assert not reaches(manifests["overlays-prod"], pod, address), who


@pytest.mark.parametrize("who", networks())
def test_an_agent_does_not_reach_what_is_the_clusters(manifests: dict[str, list[Thing]], who: str) -> None:
    assert not reaches(manifests["overlays-prod"], AGENT, first(networks()[who]))


def test_an_agent_does_not_reach_the_nodes_by_their_public_addresses(manifests: dict[str, list[Thing]]) -> None:
    nodes = [ipaddress.ip_network(patch["value"]) for patch in read(K8S / "overlays" / "prod" / "base" / "nodes.yaml")]
    assert {network.version for network in nodes} == {4, 6}
    for network in nodes:
        assert not reaches(manifests["overlays-prod"], AGENT, str(network[0]))


@pytest.mark.parametrize("address", ["1.1.1.1", "160.79.104.10", "140.82.121.4", "11.0.0.1", "2606:4700::1111"])
def test_an_agent_reaches_the_internet(manifests: dict[str, list[Thing]], address: str) -> None:
    for name in ("base", "overlays-dev", "overlays-prod"):
        assert reaches(manifests[name], AGENT, address, 443)


@pytest.mark.parametrize("overlay", ["overlays-dev", "overlays-prod"])
def test_an_agent_is_called_by_nobody_and_asks_only_the_clusters_own_names(
    manifests: dict[str, list[Thing]], overlay: str
) -> None:
    assert callers(manifests[overlay], AGENT) == []
    [asking] = [rule for rule in rules(manifests[overlay], AGENT, "Egress") if inside(rule["to"])]
    assert asking["to"] == [NAMES]
    assert {(port["protocol"], port["port"]) for port in asking["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_a_gateway_in_the_cluster_is_reached_by_those_alone_that_show_it_a_token(
    manifests: dict[str, list[Thing]],
) -> None:
    [peer] = inside(called(manifests["overlays-prod"], OF_A_GATEWAY, 443))
    assert inside(called(manifests["overlays-prod"], AGENT, 443)) == []
    wanted = peer["namespaceSelector"]["matchLabels"]
    spaces = [t for things in manifests.values() for t in things if t["kind"] == "Namespace"]
    assert not [t for t in spaces if wanted.items() <= t["metadata"].get("labels", {}).items()]


@pytest.mark.parametrize("name", ["login-refresh", "cli-login"])
def test_who_changes_the_login_reaches_the_clusters_api_and_nothing_more_than_an_agent(
    manifests: dict[str, list[Thing]], name: str
) -> None:
    things = manifests["overlays-prod"]
    [job] = [named(things, "CronJob", "login-refresh")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]]
    by_hand = named(manifests["utils"], "Pod", "cli-login")["metadata"]
    pod = Guarded("claude-agents", {"login-refresh": job, "cli-login": by_hand}[name]["labels"])
    assert reaches(things, pod, first(networks()["services"]), 443)
    assert reaches(things, pod, first(networks()["nodes"]), 6443), "the same, after the node has translated it"
    assert not reaches(things, pod, first(networks()["nodes"]), 22, 2049, 10250)
    assert reaches(things, pod, "160.79.104.10", 443)
    assert inside(called(things, pod)) == [NAMES]
    assert callers(things, pod) == []


# --- doors ---


def bot(manifests: dict[str, list[Thing]]) -> tuple[Guarded, list[int | str]]:
    """The bot's pod and its one port, by number and by name."""
    template = named(manifests["controlplane"], "Deployment", "army-bot")["spec"]["template"]
    [container] = template["spec"]["containers"]
    [port] = container["ports"]
    return Guarded("controlplane", template["metadata"]["labels"]), [port["containerPort"], port["name"]]


def test_the_bot_is_called_from_the_mesh_and_by_who_watches_it(manifests: dict[str, list[Thing]]) -> None:
    pod, port = bot(manifests)
    let_in = callers(manifests["overlays-prod"], pod, *port)
    assert blocks(let_in) == MESH
    home = named(manifests["apps"], "Application", "prometheus")["spec"]["destination"]["namespace"]
    assert inside(let_in) == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": home}}}]
    assert callers(manifests["overlays-prod"], pod) == let_in, "it has no other port"


@pytest.mark.parametrize(
    ("folder", "name", "port"), [("argocd", "argocd-server", 8080), ("monitoring", "grafana", 3000)]
)
def test_people_reach_a_page_of_a_chart_through_the_mesh(
    manifests: dict[str, list[Thing]], folder: str, name: str, port: int
) -> None:
    things = manifests[f"infrastructure-{folder}"]
    page = Guarded(folder, {"app.kubernetes.io/name": name})
    assert blocks(callers(things, page, port)) == MESH
    other = Guarded(folder, {"app.kubernetes.io/name": "another"})
    for pod, its_port in ((page, 9090), (other, port)):
        assert callers(things, pod, its_port) == [{"podSelector": {}}], "its neighbours alone"


def test_the_nfs_server_is_for_the_nodes(manifests: dict[str, list[Thing]]) -> None:
    template = named(manifests["storage"], "Deployment", "nfs-server")["spec"]["template"]
    [server] = template["spec"]["containers"]
    [port] = server["ports"]
    pod = Guarded("storage", template["metadata"]["labels"])
    [let_in] = map(ipaddress.ip_network, blocks(callers(manifests["storage"], pod, port["name"])))
    [exported] = [one["value"] for one in server["env"] if one["name"].startswith("NFS_EXPORT_")]
    assert exported.split()[1].partition("(")[0] == str(let_in)
    assert let_in.is_private
    for who in ("nodes", "pods"):  # a node calls from its own address, or from its end of the pods' network
        assert ipaddress.ip_address(first(networks()[who])) in let_in
    assert called(manifests["storage"], pod) == []


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


# --- whether they stand ---


def test_the_test_pod_knocks_at_what_is_there(manifests: dict[str, list[Thing]]) -> None:
    [test] = [pod for pod in manifests["utils"] if pod["metadata"]["name"] == "agent-test"]
    [container] = test["spec"]["containers"]
    nfs = named(manifests["storage"], "Service", "nfs-server")["spec"]
    page = named(manifests["controlplane"], "Service", "army-bot")
    name = f"{page['metadata']['name']}.{page['metadata']['namespace']}.svc"
    knocks = [line.strip() for line in container["command"][-1].splitlines() if "/dev/tcp/" in line]
    assert all(line.startswith("no ") for line in knocks)
    assert {line.partition("/dev/tcp/")[2].rstrip('"') for line in knocks} == {
        f"{first(networks()['services'])}/443",
        f"{nfs['clusterIP']}/{nfs['ports'][0]['port']}",
        f"{name}/{page['spec']['ports'][0]['port']}",
        "$NODE/10250",
    }
    assert f"getent hosts {name}" in container["command"][-1], "what has no name is not reached by its name either"
    [node] = [one for one in container["env"] if one["name"] == "NODE"]
    assert node["valueFrom"] == {"fieldRef": {"fieldPath": "status.hostIP"}}
