"""The cluster as hetzner-k3s is told to raise it, and what the rest counts on: addresses, node ports, gVisor."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.addresses import CLUSTER, MESH, networks
from tests.manifests.rendered import Thing, named, read

pytestmark = pytest.mark.xdist_group("manifests")

COMMANDS: list[str] = [
    command for pool in CLUSTER["worker_node_pools"] for command in pool["additional_pre_k3s_commands"]
]
BEHIND_SYS_ADMIN = {"MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"}
"""Some capabilities with a higher number."""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """A worker's root, with the files that our commands write there."""
    for command in COMMANDS:
        for there in re.findall(r"> (/\S+)", command):
            (tmp_path / there[1:]).parent.mkdir(parents=True, exist_ok=True)
        if "printf" in command:
            here = re.sub(r"(?<= )/(?=etc|var)", f"{tmp_path}/", command)
            subprocess.run(["sh", "-euc", here], check=True, timeout=20)
    return tmp_path


def node_ports(settings: list[str]) -> set[str]:
    """The networks to whose addresses node ports answer."""
    [value] = [one.partition("=")[2] for one in settings if one.startswith("nodeport-addresses=")]
    return set(value.split(","))


def test_the_addresses_that_we_fix_are_of_the_clusters_services(manifests: dict[str, list[Thing]]) -> None:
    services = ipaddress.ip_network(networks()["services"])
    address = named(manifests["storage"], "Service", "nfs-server")["spec"]["clusterIP"]
    assert named(manifests["storage"], "PersistentVolume", "claude-credentials")["spec"]["nfs"]["server"] == address
    for fixed in (address, CLUSTER["networking"]["cluster_dns"]):
        assert ipaddress.ip_address(fixed) in services


def test_pods_services_and_nodes_do_not_share_addresses() -> None:
    pods, services, nodes = (ipaddress.ip_network(networks()[who]) for who in ("pods", "services", "nodes"))
    assert not pods.overlaps(services)
    assert not pods.overlaps(nodes)
    assert not services.overlaps(nodes)


def test_node_ports_answer_to_the_mesh_alone_on_every_node(worker: Path) -> None:
    workers = read(worker / "etc/rancher/k3s/config.yaml.d/army.yaml")
    assert node_ports(CLUSTER["kube_proxy_args"]) == node_ports(workers["kube-proxy-arg"]) == MESH


def test_containerd_is_told_of_the_handler_that_the_class_names(
    manifests: dict[str, list[Thing]], worker: Path
) -> None:
    path = worker / "var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl"
    base, _, ours = path.read_text("utf-8").partition("\n")
    assert base == '{{ template "base" . }}'
    runtimes: dict[str, Any] = tomllib.loads(ours)["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]
    handler = named(manifests["base"], "RuntimeClass", "gvisor")["handler"]
    assert runtimes == {handler: {"runtime_type": "io.containerd.runsc.v1"}}


def test_every_worker_gets_the_same_gvisor_and_looks_at_its_sum() -> None:
    text = "\n".join(COMMANDS)
    releases = re.findall(r"gvisor/releases/release/([^/]+)/", text)
    assert releases
    assert all(re.fullmatch(r"\d{8}(\.\d+)?", release) for release in releases)
    assert "sha512sum -c gvisor.tar.zstd.sha512 && tar " in text


def test_a_worker_has_what_the_nfs_server_and_its_claims_need(worker: Path) -> None:
    assert set((worker / "etc/modules-load.d/army-nfs.conf").read_text("utf-8").split()) == {"nfs", "nfsd"}
    assert all("nfs-common" in pool["additional_packages"] for pool in CLUSTER["worker_node_pools"])


def test_the_nfs_server_may_mount_and_its_image_sees_that_it_may(manifests: dict[str, list[Thing]]) -> None:
    [server] = named(manifests["storage"], "Deployment", "nfs-server")["spec"]["template"]["spec"]["containers"]
    may = set(server["securityContext"]["capabilities"]["add"])
    assert "SYS_ADMIN" in may
    assert may & BEHIND_SYS_ADMIN, "the image looks for a comma behind it in the list"
