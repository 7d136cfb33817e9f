"""The Secret in which agents find the login, and the Lease of the one who may change it. It knows no login.

Time only says when a dead holder's lease may be taken. That a refresh token is spent once does not hang on clocks: its
mark is set on the Lease by a write that names the version it has read, which the server lets only one win.
"""

# ruff: noqa: INP001 - a ConfigMap carries this folder

from __future__ import annotations

import base64
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from files import Failed

NAME = "agent-login"
SPENDING = "army/spending"
"""On the Lease: the digest of the refresh token that its holder spends, or spent when it was last heard of."""

LEASE_SECONDS = 300
"""Longer than anything takes that is done under it."""

SKEW_SECONDS = 30.0
WAIT_SECONDS = 120.0
CALL_SECONDS = 10.0
LOOK_SECONDS = 0.5
LEAVE_SECONDS = 30.0

BROKEN_OFF = (
    "Somebody began to renew this login and was never heard of again, so its refresh token may be spent: it is not "
    "tried again. Log in again with the login pod before the access token runs out."
)

Json = dict[str, Any]


class Cluster:
    """The API server, by the account of our pod."""

    def __init__(self, url: str, account: Path) -> None:
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._url = url or f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._account = account
        authority = account / "ca.crt"
        self._tls = ssl.create_default_context(cafile=str(authority)) if authority.is_file() else None

    def ask(self, verb: str, group: str, what: str, *, body: Json | None = None, name: str = NAME) -> tuple[int, Json]:
        """The status and the object. Raises `OSError` when nobody answers, `Failed` when we may not."""
        namespace = (self._account / "namespace").read_text("utf-8").strip()
        token = (self._account / "token").read_text("utf-8").strip()  # it changes while we live
        path = f"/{group}/namespaces/{namespace}/{what}{f'/{name}' if name else ''}"
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        request = urllib.request.Request(  # noqa: S310 - the cluster's own address
            self._url + path,
            data=json.dumps(body).encode() if body is not None else None,
            method=verb,
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": "application/json"},
        )
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls)
        )
        try:
            with direct.open(request, timeout=CALL_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                words = error.read().decode("utf-8", "replace")[:300]
            if error.code in {404, 409}:
                return error.code, {}
            if error.code >= 500 or error.code == 429:
                raise OSError(f"the cluster's API answers with {error.code}") from None
            raise Failed(f"The cluster's API refuses {verb} {what} ({error.code}): {words}") from None
        except ValueError:
            raise OSError("what answers as the cluster's API is not it") from None

    def publish(self, files: Mapping[str, bytes | None]) -> None:
        """Agents see these files from now on."""
        data = {key: base64.b64encode(text).decode() if text is not None else None for key, text in files.items()}
        status, _ = self.ask("PATCH", "api/v1", "secrets", body={"data": data})
        if status == 404:
            raise Failed(f"There is no Secret {NAME}; k8s/storage brings it.")


class Lease:
    """Who may change the login: one holder at a time. `notes` are what it tells everybody, written when it leaves."""

    def __init__(self, cluster: Cluster, *, holder: str) -> None:
        self.notes: dict[str, str] = {}
        self._cluster = cluster
        self._holder = holder
        self._version = ""
        self._spec: Json = {}

    def take(self) -> None:
        """Wait until it is ours. Raises `Failed`."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._taken():
            if time.monotonic() > deadline:
                who = self._spec.get("holderIdentity")
                raise Failed(f"{who} works on the login just now; try again in a minute.")
            time.sleep(LOOK_SECONDS)

    def spend(self, mark: str) -> None:
        """From now on nobody else ever spends this token. Raises `Failed` when somebody may have."""
        if self.notes.get(SPENDING) == mark:
            raise Failed(BROKEN_OFF)
        self.notes[SPENDING] = mark
        try:
            marked = self._put(self._spec)
        except OSError:  # whether it stands there or not, nothing will be spent: it must not stay
            del self.notes[SPENDING]
            raise
        if not marked:
            del self.notes[SPENDING]
            raise Failed("The lease was lost to somebody else; nothing was renewed.")

    def leave(self) -> None:
        """Somebody else may have it; the notes are written."""
        deadline = time.monotonic() + LEAVE_SECONDS
        spec = {key: value for key, value in self._spec.items() if key != "holderIdentity"}
        while True:
            try:
                if self._put({**spec, "renewTime": _now()}):
                    return
                if not self._still_ours():
                    break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
        raise Failed("The lease was lost to somebody else while it was held.")

    def _still_ours(self) -> bool:
        """Whether it was ourselves who changed it last, by a write of which no answer came."""
        _, lease = self._cluster.ask("GET", "apis/coordination.k8s.io/v1", "leases")
        self._version = (lease.get("metadata") or {}).get("resourceVersion", "")
        return bool((lease.get("spec") or {}).get("holderIdentity") == self._holder)

    def _taken(self) -> bool:
        status, lease = self._cluster.ask("GET", "apis/coordination.k8s.io/v1", "leases")
        meta, spec = lease.get("metadata") or {}, lease.get("spec") or {}
        self._version = meta.get("resourceVersion", "")
        self._spec, self.notes = spec, dict(meta.get("annotations") or {})
        if status != 404 and spec.get("holderIdentity") not in {None, "", self._holder} and not _over(spec):
            return False
        mine = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1,
        }
        return self._put(mine)

    def _put(self, spec: Json) -> bool:
        """Whether this is on the Lease now; False: it was changed by somebody else meanwhile."""
        meta: Json = {"name": NAME, "annotations": dict(self.notes)}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        group = "apis/coordination.k8s.io/v1"
        try:
            if self._version:
                meta["resourceVersion"] = self._version
                status, lease = self._cluster.ask("PUT", group, "leases", body=body)
            else:
                status, lease = self._cluster.ask("POST", group, "leases", body=body, name="")
        except OSError:
            status, lease = self._cluster.ask("GET", group, "leases")  # the answer may be all that was lost
            there = lease.get("metadata") or {}
            if (lease.get("spec"), there.get("annotations") or {}) != (spec, self.notes):
                raise
        if status in {404, 409}:
            return False
        self._version, self._spec = lease["metadata"]["resourceVersion"], spec
        return True


def _over(spec: Json) -> bool:
    """Whether its holder has had it longer than anything takes."""
    try:
        renewed = datetime.fromisoformat(spec["renewTime"]).timestamp()
    except (KeyError, ValueError):
        return True
    return time.time() > renewed + float(spec.get("leaseDurationSeconds") or 0) + SKEW_SECONDS


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
