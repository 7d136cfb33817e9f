"""What network policies let through, read as a cluster reads them: all that choose a pod add up, and a pod that none
chooses is open. It knows no pod and no policy of ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.manifests.rendered import Thing

EVERYBODY: tuple[Thing, ...] = ({"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}})


@dataclass(frozen=True, slots=True)
class Guarded:
    """A pod, as far as policies look at it."""

    namespace: str
    labels: Mapping[str, str]


def chooses(selector: Thing, labels: Mapping[str, str]) -> bool:
    """Whether a selector means what has these labels."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "In", "the others are not needed so far"
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def rules(things: Iterable[Thing], pod: Guarded, way: Literal["Ingress", "Egress"]) -> list[Thing]:
    """All that is let through to this pod, or from it."""
    chosen = [
        thing["spec"]
        for thing in things
        if thing["kind"] == "NetworkPolicy"
        and thing["metadata"]["namespace"] == pod.namespace
        and way in thing["spec"]["policyTypes"]
        and chooses(thing["spec"]["podSelector"], pod.labels)
    ]
    return [rule for spec in chosen for rule in spec.get(way.lower()) or []] if chosen else [{}]


def callers(things: Iterable[Thing], pod: Guarded, *ports: int | str) -> list[Thing]:
    """Who may call this pod, by one of these ports (a port's name is one) or by any."""
    return [
        peer for rule in rules(things, pod, "Ingress") if opens(rule, ports) for peer in rule.get("from", EVERYBODY)
    ]


def called(things: Iterable[Thing], pod: Guarded, *ports: int | str) -> list[Thing]:
    """Whom this pod may call, by one of these ports or by any."""
    return [peer for rule in rules(things, pod, "Egress") if opens(rule, ports) for peer in rule.get("to", EVERYBODY)]


def opens(rule: Thing, ports: tuple[int | str, ...]) -> bool:
    """Whether a rule is about one of these ports; about any, when none is named."""
    return not ports or "ports" not in rule or any(port["port"] in ports for port in rule["ports"])


def blocks(peers: Iterable[Thing]) -> set[str]:
    """The networks among these."""
    return {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}


def inside(peers: Iterable[Thing]) -> list[Thing]:
    """The pods and namespaces among these."""
    return [peer for peer in peers if "ipBlock" not in peer]


def reaches(things: Iterable[Thing], pod: Guarded, address: str, *ports: int | str) -> bool:
    """Whether this pod may call this address, by one of these ports or by any."""
    wanted = ipaddress.ip_address(address)
    return any(
        wanted in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        and not any(wanted in ipaddress.ip_network(hole) for hole in peer["ipBlock"].get("except", []))
        for peer in called(things, pod, *ports)
        if "ipBlock" in peer
    )
