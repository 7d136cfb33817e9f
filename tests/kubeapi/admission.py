"""What a cluster does to a pod before it takes it: defaults; and what classes, quota, limits and PodSecurity refuse.

Namespaces, quotas, limit ranges, runtime and priority classes are objects in the stock, as in a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from tests.kubeapi import refusal
from tests.kubeapi.bodies import quantity
from tests.kubeapi.refusal import Json, Refusal
from tests.kubeapi.sorts import ACCOUNTS, LIMITS, NAMESPACES, PODS, PRIORITIES, QUOTAS, RUNTIME_CLASSES
from tests.kubeapi.stock import Stock

ENFORCE = "pod-security.kubernetes.io/enforce"
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def admit(pod: Json, namespace: str, stock: Stock) -> Json:
    """The pod as it will be kept. Raises `Refusal`."""
    pod = copy.deepcopy(pod)
    _default(pod, namespace)
    _limits(pod, namespace, stock)
    _account(pod, namespace, stock)
    _priority(pod, stock)
    _runtime_class(pod, stock)
    _tolerations(pod["spec"])
    labels = stock.get(NAMESPACES, "", namespace).object["metadata"].get("labels") or {}
    if labels.get(ENFORCE) == "restricted" and (wrong := list(_violations(pod["spec"]))):
        raise _no(pod, f'violates PodSecurity "restricted:latest": {", ".join(wrong)}')
    _quota(pod, namespace, stock)
    return pod


def _no(pod: Json, why: str) -> Refusal:
    return refusal.forbidden("pods", pod["metadata"]["name"], why)


def _default(pod: Json, namespace: str) -> None:
    pod["metadata"]["namespace"] = namespace
    spec = pod["spec"]
    pod["spec"] = {
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default", "securityContext": {}, "schedulerName": "default-scheduler",
        "enableServiceLinks": True, **spec,
    }  # fmt: skip
    pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"]
    for container in spec["containers"]:
        latest = container["image"].endswith(":latest") or ":" not in container["image"].rpartition("/")[2]
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        limits = container["resources"].get("limits") or {}
        if limits:
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}
    pod["status"] = {"phase": "Pending", "qosClass": "Burstable"}


def _limits(pod: Json, namespace: str, stock: Stock) -> None:
    for thing in stock.all(LIMITS, namespace):
        for item in (item for item in thing.object["spec"]["limits"] if item["type"] == "Container"):
            for container in pod["spec"]["containers"]:
                resources = container["resources"]
                resources["limits"] = {**item.get("default", {}), **(resources.get("limits") or {})}
                resources["requests"] = {**item.get("defaultRequest", {}), **(resources.get("requests") or {})}
                for name, most in item.get("max", {}).items():
                    asked = resources["limits"].get(name)
                    if asked is not None and quantity(asked) > quantity(most):
                        raise _no(pod, f"maximum {name} usage per Container is {most}, but limit is {asked}")
                for name, least in item.get("min", {}).items():
                    asked = resources["requests"].get(name)
                    if asked is not None and quantity(asked) < quantity(least):
                        raise _no(pod, f"minimum {name} usage per Container is {least}, but request is {asked}")


def _account(pod: Json, namespace: str, stock: Stock) -> None:
    spec = pod["spec"]
    name = spec["serviceAccountName"]
    if stock.find(ACCOUNTS, namespace, name) is None:
        raise _no(pod, f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found')
    account = stock.get(ACCOUNTS, namespace, name).object
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        name = "kube-api-access"
        spec["volumes"] = [*(spec.get("volumes") or []), {"name": name, "projected": {"sources": []}}]
        for container in spec["containers"]:
            mount = {"name": name, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
            container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _priority(pod: Json, stock: Stock) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    if not name:
        spec |= {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
        return
    found = stock.find(PRIORITIES, "", name)
    if found is None:
        raise _no(pod, f"no PriorityClass with name {name} was found")
    spec["priority"] = found.object["value"]
    spec["preemptionPolicy"] = found.object.get("preemptionPolicy", "PreemptLowerPriority")


def _runtime_class(pod: Json, stock: Stock) -> None:
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        return
    found = stock.find(RUNTIME_CLASSES, "", name)
    if found is None:
        raise _no(pod, f'pod rejected: RuntimeClass "{name}" not found')
    overhead = (found.object.get("overhead") or {}).get("podFixed")
    if spec.get("overhead") is not None and spec["overhead"] != overhead:
        raise _no(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if overhead:
        spec["overhead"] = dict(overhead)
    scheduling = found.object.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **scheduling["nodeSelector"]}


def _tolerations(spec: Json) -> None:
    keys = {one.get("key") for one in spec.get("tolerations") or []}
    spec["tolerations"] = [*(spec.get("tolerations") or []), *(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable") if key not in keys
    )]  # fmt: skip


# --- PodSecurity ---


def _violations(spec: Json) -> Iterator[str]:
    outer = spec.get("securityContext") or {}
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    inner = {container["name"]: container.get("securityContext") or {} for container in containers}

    def named(names: list[str]) -> str:
        return f"container{'s' if len(names) > 1 else ''} {', '.join(f'{chr(34)}{n}{chr(34)}' for n in names)}"

    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    if names := [name for name, own in inner.items() if own.get("privileged")]:
        yield f"privileged ({named(names)} must not set securityContext.privileged=true)"
    if names := [name for name, own in inner.items() if own.get("allowPrivilegeEscalation") is not False]:
        yield (
            f"allowPrivilegeEscalation != false ({named(names)} must set "
            "securityContext.allowPrivilegeEscalation=false)"
        )
    if names := [n for n, own in inner.items() if "ALL" not in ((own.get("capabilities") or {}).get("drop") or [])]:
        yield f'unrestricted capabilities ({named(names)} must set securityContext.capabilities.drop=["ALL"])'
    wrong = [v["name"] for v in spec.get("volumes") or [] if not (set(v) - {"name"} <= RESTRICTED_VOLUMES)]
    if wrong:
        yield f"restricted volume types (volumes {wrong} use restricted volume types)"
    if names := [n for n, own in inner.items() if not own.get("runAsNonRoot", outer.get("runAsNonRoot"))]:
        yield f"runAsNonRoot != true (pod or {named(names)} must set securityContext.runAsNonRoot=true)"
    if outer.get("runAsUser") == 0 or any(own.get("runAsUser") == 0 for own in inner.values()):
        yield "runAsUser=0 (pod must not set runAsUser=0)"
    profile = (outer.get("seccompProfile") or {}).get("type")
    kinds = {"RuntimeDefault", "Localhost"}
    if names := [n for n, own in inner.items() if (own.get("seccompProfile") or {}).get("type", profile) not in kinds]:
        yield (
            f"seccompProfile (pod or {named(names)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost")'
        )


# --- quota ---


def _quota(pod: Json, namespace: str, stock: Stock) -> None:
    alive = [p.object for p in stock.all(PODS, namespace) if p.object["status"]["phase"] not in {"Succeeded", "Failed"}]
    for thing in stock.all(QUOTAS, namespace):
        name, hard = thing.object["metadata"]["name"], thing.object["spec"].get("hard") or {}
        asked = _cost(pod["spec"])
        if thing.object.get("status") == {}:  # it was made just now: who counts has not seen it yet
            raise _no(pod, f"status unknown for quota: {name}, resources: {','.join(sorted(hard))}")
        missing = [n for n in hard if n.startswith(("requests.", "limits.")) and n not in asked]
        if missing:
            raise _no(pod, f"failed quota: {name}: must specify {' for: '.join([','.join(missing), 'agent'])}")
        for what, limit in hard.items():
            used = sum(_cost(other["spec"]).get(what, 0.0) for other in alive)
            if what in asked and used + asked[what] > quantity(limit) + 1e-9:
                told = f"requested: {what}={asked[what]:g}, used: {what}={used:g}, limited: {what}={limit}"
                raise _no(pod, f"exceeded quota: {name}, {told}")


def _cost(spec: Json) -> dict[str, float]:
    cost = {"pods": 1.0, "count/pods": 1.0}
    for which in ("requests", "limits"):
        parts = [*((c.get("resources") or {}).get(which) or {} for c in spec["containers"])]
        overhead = spec.get("overhead") or {}
        for part in [*parts, overhead]:
            for name, text in part.items():
                if part is not overhead or any(name in p for p in parts):
                    cost[f"{which}.{name}"] = cost.get(f"{which}.{name}", 0.0) + quantity(text)
    return cost
