"""The runtime of a cluster: each run is a pod whose process 1 is agentd, reached through the Kubernetes API alone."""

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.door import Door
from adapters.kubernetes.guest import Guest
from adapters.kubernetes.pool import Warm, Warmth
from adapters.kubernetes.runtime import KubernetesRuntime

__all__ = ["Cluster", "Door", "Guest", "KubernetesRuntime", "Warm", "Warmth"]
