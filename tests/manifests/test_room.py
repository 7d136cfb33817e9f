"""What is to run among the agents is admitted there: by our limits, quota, classes and pod security, all together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters.kubernetes.guest import Guest
from adapters.kubernetes.pod import pod_of
from bot.profiles import shipped_agents
from bot.reading import read_settings
from orchestrator.nouns import Agent, RunId
from tests.kubeapi.admission import admit
from tests.kubeapi.refusal import Json, Refusal
from tests.kubeapi.sorts import PODS, sort_of
from tests.kubeapi.stock import Stock
from tests.manifests.rendered import Thing, named

pytestmark = pytest.mark.xdist_group("manifests")

AGENTS = "claude-agents"
OVERLAYS = {
    "overlays-prod": "overlays-prod-controlplane",
    "overlays-kvm": "overlays-kvm",
    "overlays-dev": "overlays-dev",
}


def cluster(things: list[Thing]) -> Stock:
    """A cluster that has been given these objects."""
    stock = Stock()
    for thing in things:
        if (sort := sort_of(dict(thing))) is not None and sort is not PODS:
            stock.create(sort, dict(thing))
    return stock


def moved_in(stock: Stock, pod: Json) -> None:
    """The pod is admitted and kept. Raises `Refusal`."""
    stock.create(PODS, admit(pod, AGENTS, stock))


def pods_of_the_house(things: list[Thing]) -> Iterator[Json]:
    """What runs among the agents and is none: started by hand, or by the clock."""
    for thing in things:
        spec, name = thing.get("spec", {}), thing["metadata"]["name"]
        if thing["metadata"].get("namespace") != AGENTS:
            continue
        match thing["kind"]:
            case "CronJob":
                template = spec["jobTemplate"]["spec"]["template"]
            case "Job":
                template = spec["template"]
            case "Pod":
                template = {"spec": spec}
            case _:
                continue
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}


def agents_move_in(stock: Stock, guest: Guest, *, number: int, agent: Agent) -> None:
    """So many of them, one after the other. Raises `Refusal`."""
    for index in range(number):
        moved_in(stock, pod_of(RunId(f"r-{index}"), agent, guest))


def settled(manifests: dict[str, list[Thing]], overlay: str) -> tuple[Guest, int]:
    """What all agents of this overlay have in common, and how many there may be."""
    data = named(manifests[OVERLAYS[overlay]], "ConfigMap", "army-bot-settings")["data"]
    settings = read_settings({**data, "WEB_TOKEN": "x" * 40})
    guest = Guest(image=settings.agent_image, runtime_class=settings.runtime_class, disk=settings.agent_disk)
    return guest, settings.max_runs


def whole(manifests: dict[str, list[Thing]], overlay: str) -> list[Thing]:
    return manifests["overlays-prod" if overlay == "overlays-kvm" else overlay]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_as_many_agents_as_may_run_have_room_beside_the_pods_of_the_house(
    manifests: dict[str, list[Thing]], overlay: str
) -> None:
    stock = cluster(whole(manifests, overlay))
    guest, most = settled(manifests, overlay)
    busiest = max(shipped_agents(), key=lambda agent: agent.driver == "claude")
    agents_move_in(stock, guest, number=most, agent=busiest)
    for pod in pods_of_the_house([] if overlay == "overlays-dev" else [*manifests["storage"], *manifests["utils"]]):
        moved_in(stock, pod)
    assert len(stock.all(PODS)) >= most


def test_nothing_that_runs_among_the_agents_ends_one_for_its_own_place(manifests: dict[str, list[Thing]]) -> None:
    classes = {thing["metadata"]["name"]: thing for thing in manifests["base"] if thing["kind"] == "PriorityClass"}
    used = {
        pod["metadata"]["name"]: classes[pod["spec"]["priorityClassName"]]
        for pod in pods_of_the_house([*manifests["storage"], *manifests["utils"]])
    }
    assert {"login-refresh", "credential-check", "cli-login", "login-check", "agent-test"} <= set(used)
    assert {name for name, chosen in used.items() if chosen.get("preemptionPolicy") != "Never"} == set()
    agents = classes[Guest(image="a").priority_class]
    assert agents["preemptionPolicy"] == "Never"
    assert -10 <= agents["value"] < classes["army-errands"]["value"] < classes["army-controlplane"]["value"]


def test_the_quota_ends_somewhere(manifests: dict[str, list[Thing]]) -> None:
    stock = cluster(manifests["overlays-prod"])
    guest, _ = settled(manifests, "overlays-prod")
    with pytest.raises(Refusal, match="exceeded quota: agents"):
        agents_move_in(stock, guest, number=100, agent=Agent(name="a", driver="claude"))


def test_nobody_opens_a_service_among_the_agents(manifests: dict[str, list[Thing]]) -> None:
    for overlay in ("overlays-dev", "overlays-prod"):
        assert named(manifests[overlay], "ResourceQuota", "agents")["spec"]["hard"]["services"] == "0"


def test_the_largest_agent_that_the_limits_name_is_admitted_and_a_larger_one_is_not(
    manifests: dict[str, list[Thing]],
) -> None:
    guest, _ = settled(manifests, "overlays-prod")
    [limits] = [
        limits["max"]
        for limits in named(manifests["base"], "LimitRange", "agents")["spec"]["limits"]
        if limits["type"] == "Container"
    ]
    largest = Agent(name="a", driver="claude", cpu=limits["cpu"], memory=limits["memory"])
    moved_in(cluster(manifests["overlays-prod"]), pod_of(RunId("r-1"), largest, guest))
    for larger in (replace(largest, cpu="64"), replace(largest, memory="64Gi")):
        with pytest.raises(Refusal, match=r"maximum .* usage per Container"):
            moved_in(cluster(manifests["overlays-prod"]), pod_of(RunId("r-1"), larger, guest))


def test_an_agent_may_have_as_much_disk_as_the_limits_name_and_no_more(manifests: dict[str, list[Thing]]) -> None:
    guest, _ = settled(manifests, "overlays-prod")
    agent = Agent(name="a", driver="claude")
    [limits] = [
        limits["max"]
        for limits in named(manifests["base"], "LimitRange", "agents")["spec"]["limits"]
        if limits["type"] == "Container"
    ]
    moved_in(cluster(manifests["overlays-prod"]), pod_of(RunId("r-1"), agent, guest))
    moved_in(
        cluster(manifests["overlays-prod"]),
        pod_of(RunId("r-1"), agent, replace(guest, disk=limits["ephemeral-storage"])),
    )
    with pytest.raises(Refusal, match="maximum ephemeral-storage usage per Container"):
        moved_in(cluster(manifests["overlays-prod"]), pod_of(RunId("r-1"), agent, replace(guest, disk="1Ti")))
