"""The port Credentials in a cluster: whether what an agent chose is there, until when, and what is one run's alone.

The bot reads no Secret. Of the shared login it sees what the refresher tells on its Lease; of the gateway it writes one
Secret for each run, which goes with the run's pod. How a login is kept and renewed stands in k8s/storage/login.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.grant import LOGIN, RUNS_OWN, Grant, granted
from adapters.kubernetes.guest import Guest
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Expiry, Gateway

Body = dict[str, Any]

ACCESS_UNTIL = "army/access-expires"
LOGIN_UNTIL = "army/login-expires"
TROUBLE = "army/trouble"
GIVES = "army/gives"
"""Whose login the agents get, with commas in between."""

MOST_HANDED = 4000
LEAST_SECONDS = 60.0
EARLY_SECONDS = 2 * 3600.0
"""The refresher looks every hour and renews what is good for less than five: this close, it has failed twice."""

LOGIN_EARLY_SECONDS = 4 * 86400.0
"""A sign-in lives for about 18 days in all."""


ENDS = "That is when the person's sign-in ends, which no renewal puts off."
HOW = "Log in with the login pod (k8s/utils/cli-login-pod.yaml) and store it."
SEE = "See the log of the CronJob login-refresh."


class KubernetesCredentials:
    """`known`: what the operator said of the ends of those that do not tell them."""

    def __init__(
        self,
        cluster: Cluster,
        guest: Guest,
        *,
        known: Sequence[Expiry] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._guest = guest
        self._known = tuple(known)
        self._clock = clock
        self._handed: OrderedDict[str, None] = OrderedDict()  # pods by uid whose Secret was made for them for sure

    async def give(self, run: RunId, agent: Agent) -> Grant:
        """See `orchestrator.ports.Credentials`."""
        grant = granted(run, agent, self._guest)
        if grant.kind == "login":
            self._check(_told(await self._cluster.lease(LOGIN)), agent)
        return grant

    def _check(self, told: Mapping[str, str], agent: Agent) -> None:
        """Raise `Refused` where the Lease says that the shared login is of no use to this agent."""
        if agent.driver not in told.get(GIVES, "").split(","):
            raise Refused(f"The agents of this cluster share no login of {agent.driver} yet. {HOW}")
        until = _seconds(told, ACCESS_UNTIL) if agent.driver == "claude" else 0.0
        if until and until - self._clock() < LEAST_SECONDS:  # the other CLI's login does not say until when it is good
            raise Refused(f"The shared login has run out, and nobody renewed it. {told.get(TROUBLE) or SEE}")

    async def hand(self, run: RunId, agent: Agent, *, pod: str, uid: str) -> None:
        """Give the pod of this run what is this run's alone; the cluster takes it away with the pod. Twice is once.

        Do it again for as long as the pod comes: what has the name may be that of a pod which is gone, and go after it.
        """
        gateway = self._guest.gateway
        if gateway is None or uid in self._handed or granted(run, agent, self._guest).kind != "gateway":
            return
        if await self._cluster.create_secret(own_secret(run, agent, gateway, pod=pod, uid=uid)):
            self._handed[uid] = None
            while len(self._handed) > MOST_HANDED:
                self._handed.popitem(last=False)

    async def expiries(self) -> Sequence[Expiry]:
        """See `orchestrator.ports.Credentials`."""
        told = _told(await self._cluster.lease(LOGIN))
        found = list(self._known)
        trouble = told.get(TROUBLE, "")
        if until := _seconds(told, ACCESS_UNTIL):
            words = trouble or f"It is renewed long before that. {SEE}"
            found.append(Expiry("login-access", until, words, early=EARLY_SECONDS))
        if until := _seconds(told, LOGIN_UNTIL):
            found.append(Expiry("login", until, trouble or f"{ENDS} {HOW}", early=LOGIN_EARLY_SECONDS))
        return sorted(found, key=lambda expiry: expiry.at)


def own_secret(run: RunId, agent: Agent, gateway: Gateway, *, pod: str, uid: str) -> Body:
    """The token of one run, which belongs to its pod."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": run,
            "labels": {
                "app.kubernetes.io/name": "agent",
                "app.kubernetes.io/instance": run,
                "app.kubernetes.io/component": "credentials",
                "app.kubernetes.io/part-of": "army",
                "app.kubernetes.io/managed-by": "army-bot",
                "army/run": run,
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}],
        },
        "immutable": True,
        "stringData": {RUNS_OWN: gateway.token(run, agent)},
    }


def _told(lease: Body | None) -> Mapping[str, str]:
    return ((lease or {}).get("metadata") or {}).get("annotations") or {}


def _seconds(told: Mapping[str, str], name: str) -> float:
    """Unix seconds; 0 where they are not told."""
    text = told.get(name, "")
    return float(text) if text.isdecimal() else 0.0
