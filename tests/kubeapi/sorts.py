"""The sorts of objects that this server keeps, and how a path names them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kubeapi.refusal import Json


@dataclass(frozen=True, slots=True)
class Sort:
    """One kind of object: where it lives in the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As `apiVersion` has it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full(self) -> str:
        """The name that refusals use."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


PODS = Sort("", "v1", "pods", "Pod")
EVENTS = Sort("", "v1", "events", "Event")
SECRETS = Sort("", "v1", "secrets", "Secret")
CONFIG_MAPS = Sort("", "v1", "configmaps", "ConfigMap")
CLAIMS = Sort("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
ACCOUNTS = Sort("", "v1", "serviceaccounts", "ServiceAccount")
QUOTAS = Sort("", "v1", "resourcequotas", "ResourceQuota")
LIMITS = Sort("", "v1", "limitranges", "LimitRange")
NAMESPACES = Sort("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Sort("", "v1", "nodes", "Node", namespaced=False)
LEASES = Sort("coordination.k8s.io", "v1", "leases", "Lease")
RUNTIME_CLASSES = Sort("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)
PRIORITIES = Sort("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
POLICIES = Sort("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")

SORTS = (
    PODS, EVENTS, SECRETS, CONFIG_MAPS, CLAIMS, ACCOUNTS, QUOTAS, LIMITS, NAMESPACES, NODES, LEASES, RUNTIME_CLASSES,
    PRIORITIES, POLICIES,
)  # fmt: skip


def sort_at(group: str, version: str, plural: str) -> Sort | None:
    """The sort that a path means."""
    return next((s for s in SORTS if (s.group, s.version, s.plural) == (group, version, plural)), None)


def sort_of(thing: Json) -> Sort | None:
    """The sort that an object says it is."""
    named = (thing.get("apiVersion"), thing.get("kind"))
    return next((s for s in SORTS if (s.api_version, s.kind) == named), None)
