"""What Credentials promise, asked of one machine and of a cluster: what does the run's process get to see?"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from adapters.kubernetes import Cluster, Door, Guest
from adapters.kubernetes.credentials import KubernetesCredentials
from adapters.local import LocalCredentials
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Credentials, Expiry, Gateway
from tests.kubeapi import KubeApi
from tests.kubeapi.places import values

AGENT = Agent(name="claude", driver="claude")
RUN, OTHER = RunId("r-1"), RunId("r-2")
HELD = {"ANTHROPIC_API_KEY": "the-key", "CLAUDE_CODE_OAUTH_TOKEN": "the-setup-token"}
GATEWAY = Gateway("https://gateway.example", lambda run, agent: f"{agent.name}-of-{run}")
EXPIRIES = (Expiry("token", 2000.0, "later"), Expiry("key", 1000.0, "sooner"))


class House(Protocol):
    """An implementation, and a look at what a process has of it."""

    async def open(self, *, gateway: Gateway | None, kind: str, held: Mapping[str, str]) -> Credentials[Any]: ...

    async def seen(self, credentials: Credentials[Any], run: RunId, agent: Agent) -> Mapping[str, str]: ...


class LocalHouse:
    async def open(self, *, gateway: Gateway | None, kind: str, held: Mapping[str, str]) -> Credentials[Any]:
        return LocalCredentials(held, gateway=gateway, kind=kind, expiries=EXPIRIES)

    async def seen(self, credentials: Credentials[Any], run: RunId, agent: Agent) -> Mapping[str, str]:
        env: Mapping[str, str] = await credentials.give(run, agent)
        return env


class KubernetesHouse:
    """The variables are resolved as a kubelet does it."""

    def __init__(self, api: KubeApi, cluster: Cluster) -> None:
        self._api, self._cluster = api, cluster

    async def open(self, *, gateway: Gateway | None, kind: str, held: Mapping[str, str]) -> Credentials[Any]:
        data = {name: base64.b64encode(text.encode()).decode() for name, text in held.items()}
        meta = {"name": "agent-credentials"}
        self._api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        guest = Guest(image="agent:1", gateway=gateway, credential=kind)
        return KubernetesCredentials(self._cluster, guest, known=EXPIRIES)

    async def seen(self, credentials: Credentials[Any], run: RunId, agent: Agent) -> Mapping[str, str]:
        assert isinstance(credentials, KubernetesCredentials)
        grant = await credentials.give(run, agent)
        for _ in range(2):
            await credentials.hand(run, agent, pod=run, uid=f"uid-of-{run}")
        return {v["name"]: value for v in grant.env if (value := self._value(v)) is not None}

    def _value(self, variable: Mapping[str, Any]) -> str | None:
        if "value" in variable:
            return str(variable["value"])
        ref = variable["valueFrom"]["secretKeyRef"]
        secret = self._api.node.find(self._api.namespace)("Secret", ref["name"])
        found = values(secret).get(ref["key"]) if secret else None
        assert found is not None or ref.get("optional"), "the pod would not start"
        return found.decode() if found is not None else None


@pytest.fixture(params=["local", "kubernetes"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        if request.param == "local":
            yield LocalHouse()
            return
        api = await stack.enter_async_context(KubeApi())
        door = Door(namespace=api.namespace, kubeconfig=str(api.kubeconfig(tmp_path / "kubeconfig")))
        yield KubernetesHouse(api, await stack.enter_async_context(Cluster(door)))


@pytest.mark.parametrize(
    ("kind", "sees"),
    [
        ("key", {"ANTHROPIC_API_KEY": "the-key"}),
        ("token", {"CLAUDE_CODE_OAUTH_TOKEN": "the-setup-token"}),
        ("gateway", {"ANTHROPIC_BASE_URL": "https://gateway.example", "ANTHROPIC_AUTH_TOKEN": "claude-of-r-1"}),
        ("", HELD),
    ],
)
async def test_an_agent_gets_what_it_chose_and_no_other(house: House, kind: str, sees: dict[str, str]) -> None:
    credentials = await house.open(gateway=GATEWAY, kind="", held=HELD)
    assert await house.seen(credentials, RUN, replace(AGENT, credential=kind)) == sees


async def test_who_chooses_nothing_gets_what_the_settings_say(house: House) -> None:
    credentials = await house.open(gateway=GATEWAY, kind="token", held=HELD)
    assert await house.seen(credentials, RUN, AGENT) == {"CLAUDE_CODE_OAUTH_TOKEN": "the-setup-token"}
    assert list(await house.seen(credentials, RUN, replace(AGENT, credential="key"))) == ["ANTHROPIC_API_KEY"]


async def test_each_run_has_a_token_of_its_own_and_the_same_one_again(house: House) -> None:
    credentials = await house.open(gateway=GATEWAY, kind="gateway", held={})
    first, other, again = [await house.seen(credentials, run, AGENT) for run in (RUN, OTHER, RUN)]
    assert first == again != other


async def test_an_agent_that_asks_no_model_gets_nothing(house: House) -> None:
    credentials = await house.open(gateway=GATEWAY, kind="login", held=HELD)
    assert await house.seen(credentials, RUN, Agent(name="rehearsal", driver="rehearsal", credential="key")) == {}


@pytest.mark.parametrize(("kind", "words"), [("gateway", "GATEWAY_KEY"), ("login", "login"), ("pin", "known are key,")])
async def test_what_is_not_there_is_refused_in_words(house: House, kind: str, words: str) -> None:
    credentials = await house.open(gateway=None, kind="", held=HELD)
    with pytest.raises(Refused, match=words):
        await credentials.give(RUN, replace(AGENT, credential=kind))


async def test_the_first_to_run_out_is_told_first(house: House) -> None:
    credentials = await house.open(gateway=None, kind="", held=HELD)
    assert [expiry.name for expiry in await credentials.expiries()] == ["key", "token"]
