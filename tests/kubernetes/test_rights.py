"""The bot's Role is least: what the scenarios need is granted, and what is granted some scenario needs.

Whoever teaches the bot a new call adds a scenario here, a line to k8s/base/rbac.yaml and one to the doctor's list.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime, Warm
from adapters.kubernetes.checkup import RIGHTS, checkup
from agent.wire import Resume, Stop
from orchestrator.errors import Gone, Refused
from orchestrator.nouns import Agent
from orchestrator.ports import Gateway
from tests.contract.listener import AGENT, RUN, Listener, attached, command, ended, is_there, tell
from tests.kubeapi import EVERYTHING, Json, KubeApi
from tests.kubeapi.rights import Wish
from tests.kubeapi.role import shipped_role

GUEST = Guest(image="agent:1")


# --- everything that the bot does in a cluster ------------------------------------------------------------------------


async def a_run_from_its_start_to_its_end(api: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, GUEST) as runtime:
        await tell(runtime, 2)
        assert list(await runtime.pods()) == [RUN]
        await runtime.stop(RUN)
        assert api.pod(RUN) is None


async def a_run_that_ended_while_nobody_listened(api: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, GUEST) as runtime:
        await runtime.start(RUN, AGENT)
        listener = Listener()
        async with attached(runtime) as session:
            await session.send(command(Stop("enough")))
            assert await listener.hear(session, ended)
            await session.send(Resume(listener.epoch, listener.n))
            await api.until(lambda: (api.pod(RUN) or {})["status"]["phase"] == "Succeeded", within=60)
        with suppress(Gone):
            async with runtime.attach(RUN) as session:
                async for _ in session.frames():
                    pass
        await runtime.stop(RUN)


async def runs_that_a_former_life_left(api: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, GUEST) as runtime:
        await runtime.start(RUN, AGENT)
    api.life(RUN).crash()
    async with KubernetesRuntime(door, GUEST) as runtime:
        await runtime.start(RUN, AGENT, again=True)
        await is_there(runtime)
        await runtime.stop(RUN)


async def a_run_in_a_pod_that_was_started_ahead(api: KubeApi, door: Door) -> None:
    async def rehearsal() -> Agent:
        return AGENT

    async with KubernetesRuntime(door, GUEST, warm=Warm(1, rehearsal)) as runtime:
        await api.until(lambda: runtime.warmth().ready, within=60)
        await runtime.start(RUN, AGENT)
        assert api.of_run(RUN) != RUN
        await runtime.stop(RUN)
    async with KubernetesRuntime(door, GUEST):
        await api.until(lambda: not api.node.lives(), within=60)


async def a_run_with_a_token_of_its_own(api: KubeApi, door: Door) -> None:
    guest = replace(GUEST, gateway=Gateway("https://gateway.example", lambda run, _: f"the token of {run}"))
    async with KubernetesRuntime(door, guest) as runtime:
        await runtime.start(RUN, Agent(name="a", driver="claude", credential="gateway"))
        await api.until(lambda: api.life(RUN).container, within=60)
        await runtime.stop(RUN)


async def a_run_with_the_shared_login(_: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, GUEST) as runtime:
        with pytest.raises(Refused, match="share no login"):
            await runtime.start(RUN, Agent(name="a", driver="claude", credential="login"))


async def the_doctor(_: KubeApi, door: Door) -> None:
    findings = await checkup(door, GUEST)
    assert all(finding.good for finding in findings), findings


SCENARIOS: Sequence[Callable[[KubeApi, Door], Awaitable[None]]] = (
    a_run_from_its_start_to_its_end,
    a_run_that_ended_while_nobody_listened,
    runs_that_a_former_life_left,
    a_run_in_a_pod_that_was_started_ahead,
    a_run_with_a_token_of_its_own,
    a_run_with_the_shared_login,
    the_doctor,
)


# --- what is needed, and what is granted ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that a Role lets somebody do. An empty name: to all objects of that resource."""

    group: str
    resource: str
    verb: str
    name: str = ""

    def meets(self, wish: Wish) -> bool:
        """Whether this is what was wished for."""
        return (self.group, self.resource, self.verb) == (wish.group, wish.resource, wish.verb) and (
            not self.name or self.name == wish.name
        )


def granted(rules: Iterable[Json]) -> set[Right]:
    """A Role, right by right."""
    return {
        Right(*right)
        for rule in rules
        for right in itertools.product(
            rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames") or [""]
        )
    }


def missing(wishes: Iterable[Wish], rules: Iterable[Json]) -> set[Wish]:
    """What was needed and is not granted."""
    rights = granted(rules)
    return {wish for wish in wishes if not any(right.meets(wish) for right in rights)}


def idle(wishes: Iterable[Wish], rules: Iterable[Json]) -> set[Right]:
    """What is granted and nobody needed."""
    needed = list(wishes)
    return {right for right in granted(rules) if not any(right.meets(wish) for wish in needed)}


async def played(folder: Path, rules: Sequence[Json]) -> set[Wish]:
    """Every right that the scenarios need. Nothing may be refused on the way."""
    found: set[Wish] = set()
    for number, scenario in enumerate(SCENARIOS):
        async with KubeApi(rbac=rules) as api:
            kubeconfig = api.kubeconfig(folder / f"kubeconfig-{number}")
            await scenario(api, Door(namespace=api.namespace, kubeconfig=str(kubeconfig)))
            assert [call for call in api.calls if call.status == 403] == [], scenario.__name__
            found |= api.wishes
    return found


@pytest.fixture(scope="module")
def wishes(tmp_path_factory: pytest.TempPathFactory) -> set[Wish]:
    """What the scenarios need, found by letting them do anything."""
    return asyncio.run(played(tmp_path_factory.mktemp("rights"), EVERYTHING))


def test_the_role_grants_what_is_needed_and_nothing_else(wishes: set[Wish]) -> None:
    rules = shipped_role()
    assert missing(wishes, rules) == set(), "the bot needs more than its Role grants"
    assert idle(wishes, rules) == set(), "the Role grants what the bot never needs"
    assert {wish.namespace for wish in wishes} == {"claude-agents"}
    assert {wish.verb for wish in wishes if wish.resource == "pods/attach"} == {"get", "create"}


def test_each_right_is_missed_when_it_is_taken_away(wishes: set[Wish]) -> None:
    """The judge itself: it must see any single right that is gone, and any that is too much."""
    rules = shipped_role()
    for at, rule in enumerate(rules):
        for verb in rule["verbs"]:
            fewer = copy.deepcopy(rules)
            fewer[at]["verbs"].remove(verb)
            assert {wish.verb for wish in missing(wishes, fewer)} == {verb}
        more = copy.deepcopy(rules)
        more[at]["verbs"].append("deletecollection")
        assert {right.verb for right in idle(wishes, more)} == {"deletecollection"}
    wide = [*rules, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]
    assert idle(wishes, wide) == {Right("", "secrets", "*")}


def test_the_doctor_asks_for_what_the_role_grants() -> None:
    asked = {Right(r.group, f"{r.resource}/{r.sub}" if r.sub else r.resource, r.verb, r.name) for r in RIGHTS}
    assert asked == granted(shipped_role())


async def test_with_the_roles_rights_every_scenario_works(tmp_path: Path) -> None:
    await played(tmp_path, shipped_role())
