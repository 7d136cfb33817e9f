"""Whose addresses are which: the networks that cluster/cluster.yaml gives the cluster, and the mesh."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.manifests.rendered import K8S, read

CLUSTER: Any = read(K8S / "cluster" / "cluster.yaml")
MESH = {"100.64.0.0/10", "fd7a:115c:a1e0::/48"}


def networks() -> dict[str, str]:
    """The cluster's own networks, by who has addresses in them."""
    networking = CLUSTER["networking"]
    return {
        "services": networking["service_cidr"],
        "pods": networking["cluster_cidr"],
        "nodes": networking["private_network"]["subnet"],
    }


def first(network: str) -> str:
    """The first address in it: of the services', the API server's own."""
    return str(ipaddress.ip_network(network)[1])
