"""Create, update, patch, delete: what a write must say, what it may not change, and whom it loses to.

It knows the stock and admission, and no rights.
"""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Mapping
from secrets import token_hex

from tests.kubeapi import admission, bodies, patching, refusal
from tests.kubeapi.ask import Target
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import LEASES, NAMESPACES, PODS, SECRETS, Sort
from tests.kubeapi.stock import Stock, Thing

KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "name")
DEADLINE = "activeDeadlineSeconds"


class Writer:
    """Writes to the stock. `complain` hears of fields that nobody knows."""

    def __init__(self, stock: Stock, *, version: str, complain: Callable[[str], None]) -> None:
        self._stock = stock
        self._version = version
        self._complain = complain

    def create(self, target: Target, body: bytes, query: Mapping[str, str]) -> tuple[Thing, list[str]]:
        """The new object, and the warnings. Raises `Refusal`."""
        if target.name:
            raise refusal.Refusal(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        thing, warnings = self._decoded(target, body, query)
        meta = thing["metadata"]
        if "name" not in meta and (prefix := meta.get("generateName")):
            meta["name"] = prefix + token_hex(3)[:5]
        if meta.get("namespace", target.namespace) != target.namespace:
            raise refusal.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if target.sort.namespaced:
            meta["namespace"] = target.namespace
            if self._stock.find(NAMESPACES, "", target.namespace) is None:
                raise refusal.not_found("namespaces", target.namespace)
        bodies.validate(thing, target.sort)
        if target.sort is PODS:
            if self._stock.find(PODS, target.namespace, meta["name"]) is not None:
                raise refusal.exists("pods", meta["name"])
            thing = admission.admit(thing, target.namespace, self._stock)
        if query.get("dryRun") == "All":
            return Thing(thing), warnings
        return self._stock.create(target.sort, _unstrung(thing, target.sort)), warnings

    def update(self, target: Target, body: bytes, query: Mapping[str, str]) -> tuple[Thing, list[str]]:
        """The object as it is now. Raises `Refusal`."""
        thing, warnings = self._decoded(target, body, query)
        if thing["metadata"].get("name", target.name) != target.name:
            raise refusal.bad_request("the name of the object does not match the name on the URL")
        if target.sort is LEASES and not thing["metadata"].get("resourceVersion"):
            why = "Invalid value: 0: must be specified for an update"
            raise refusal.invalid("leases.coordination.k8s.io", target.name, [("metadata.resourceVersion", why)])
        return self._changed(target, _unstrung(thing, target.sort)), warnings

    def patch(self, target: Target, body: bytes, content_type: str) -> Thing:
        """The object as it is now. Raises `Refusal`."""
        old = self._stock.get(target.sort, target.namespace, target.name).object
        return self._changed(target, patching.patched(old, body, content_type))

    def _decoded(self, target: Target, body: bytes, query: Mapping[str, str]) -> tuple[Json, list[str]]:
        thing = bodies.load(body)
        thing.setdefault("apiVersion", target.sort.api_version)  # clients may leave out what the path says
        thing.setdefault("kind", target.sort.kind)
        thing.setdefault("metadata", {})
        unknown = bodies.decode(thing, target.sort, version=self._version)
        if unknown and query.get("fieldValidation") == "Strict":
            raise refusal.bad_request(
                f'{target.sort.kind} in version "{target.sort.version}" cannot be handled as a {target.sort.kind}: '
                f"strict decoding error: {', '.join(unknown)}"
            )
        for field in unknown:
            self._complain(f"{target.verb} {target.resource}: {field}")
        return thing, [] if query.get("fieldValidation") == "Ignore" else unknown

    def _changed(self, target: Target, thing: Json) -> Thing:
        old = self._stock.get(target.sort, target.namespace, target.name).object
        meta = thing["metadata"] = dict(thing["metadata"])
        mine, theirs = meta.get("resourceVersion"), old["metadata"]["resourceVersion"]
        if mine and mine != theirs:
            raise refusal.conflict(target.sort.full, target.name)
        if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
            )
            raise refusal.conflict(target.sort.full, target.name, why)
        meta |= {key: old["metadata"][key] for key in KEPT if key in old["metadata"]} | {"resourceVersion": theirs}
        bodies.validate(thing, target.sort)
        if target.sort is PODS:
            thing = {**thing, "status": old["status"]}  # that is the kubelet's, by a subresource
            if _fixed(thing["spec"]) != _fixed(old["spec"]):
                why = (
                    "Forbidden: pod updates may not change fields other than `spec.containers[*].image` and few others"
                )
                raise refusal.invalid("Pod", target.name, [("spec", why)])
            if why := _longer(old["spec"].get(DEADLINE), thing["spec"].get(DEADLINE)):
                raise refusal.invalid("Pod", target.name, [(f"spec.{DEADLINE}", why)])
        return self._stock.replace(target.sort, {"apiVersion": old["apiVersion"], "kind": old["kind"], **thing})

    def delete(self, target: Target, body: bytes, query: Mapping[str, str]) -> Thing:
        """The object as it is left. A pod that runs is only told to go. Raises `Refusal`."""
        options = bodies.load(body) if body else {}
        thing = self._stock.get(target.sort, target.namespace, target.name)
        meta = thing.object["metadata"]
        for key, name in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            wanted = (options.get("preconditions") or {}).get(key)
            if wanted is not None and wanted != meta[key]:
                why = f"Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {meta[key]}"
                raise refusal.conflict(target.sort.full, target.name, why)
        if target.sort is not PODS:
            return self._stock.remove(target.sort, target.namespace, target.name)
        grace = options.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        seconds = int(thing.object["spec"]["terminationGracePeriodSeconds"] if grace is None else grace)
        ended = thing.object["status"]["phase"] in {"Succeeded", "Failed"}
        if seconds <= 0 or ended or not thing.object["spec"].get("nodeName"):
            return self._stock.remove(PODS, target.namespace, target.name)
        going = copy.deepcopy(thing.object)
        if seconds < meta.get("deletionGracePeriodSeconds", seconds + 1):
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
            going["metadata"] |= {"deletionTimestamp": when, "deletionGracePeriodSeconds": seconds}
        return self._stock.replace(PODS, going)


def _unstrung(thing: Json, sort: Sort) -> Json:
    """A Secret's `stringData` becomes `data`."""
    if sort is SECRETS and "stringData" in thing:
        plain = {key: base64.b64encode(value.encode()).decode() for key, value in thing["stringData"].items()}
        rest = {key: value for key, value in thing.items() if key != "stringData"}
        return {**rest, "data": {**(thing.get("data") or {}), **plain}}
    return thing


def _longer(old: int | None, new: int | None) -> str:
    """Why a pod's deadline cannot become this one: it may be set, or brought nearer."""
    if new is not None and not 0 < new < 2**31:
        return f"Invalid value: {new}: must be between 1 and 2147483647, inclusive"
    if old is not None and new is None:
        return "Invalid value: null: must not update from a positive integer to nil value"
    if old is not None and new is not None and new > old:
        return f"Invalid value: {new}: must be less than or equal to previous value"
    return ""


def _fixed(spec: Json) -> Json:
    fixed = {key: value for key, value in spec.items() if key not in {DEADLINE, "tolerations"}}
    fixed["containers"] = [{k: v for k, v in c.items() if k != "image"} for c in spec["containers"]]
    return fixed
