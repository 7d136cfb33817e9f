"""Agents in a cluster of which every part fails in turn, while a person keeps talking: nothing is lost or doubled.

What holds here is what holds on one machine; `truth` judges both.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from tests.chaos.cast import Talker, prepare
from tests.chaos.truth import at_rest, check_disk, check_lobby, check_others, check_thread, read, settled
from tests.kubeapi import Break, Fault, KubeApi
from tests.kubeapi.role import shipped_role
from tests.product import Product

SEEDS = [int(os.environ.get("CHAOS_SEED", "1"))]
EACH = 2
"""Times of each kind; with more deaths in so short a time, agentd and the node rightly wait longer and longer."""

SETTLE_SECONDS = 120.0
FRAMES = (1, 3, 50, 700, 5000, 32 << 10)


class Trouble:
    """Everything that a cluster does to those who live in it, each for a moment."""

    def __init__(self, api: KubeApi, bot: Product, dice: Random) -> None:
        self._api = api
        self._bot = bot
        self._dice = dice

    def kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What can happen, by name."""
        return {
            "API server killed": self._server_killed,
            "watch expired": self._watch_expired,
            "attach cut": self._attach_cut,
            "kubelet gone": self._kubelet_gone,
            "agentd killed": self._agentd_killed,
            "API server ill": self._server_ill,
            "bot killed": self._bot_killed,
        }

    async def _server_killed(self) -> None:
        await self._api.down()
        await self._while(1.0)
        if self._dice.random() < 0.5:
            self._api.compact()
        rules, self._api.rbac = self._api.rbac, []
        await self._api.up()
        await self._while(0.5)  # it has not read its rules yet
        self._api.rbac = rules

    async def _watch_expired(self) -> None:
        self._api.fail("watch pods", Fault.expired())
        self._api.watches.cut(torn=self._dice.random() < 0.5)

    async def _attach_cut(self) -> None:
        for _ in range(6):
            at, torn = self._dice.choice([0, 1, 9, 200, 3000]), self._dice.random() < 0.5
            here = Break(out=at + self._dice.randrange(30), torn=torn)
            self._api.break_next(self._dice.choice([here, here, Break(into=1 + self._dice.randrange(400))]))
        self._api.streams.cut()

    async def _kubelet_gone(self) -> None:
        self._api.node.die()
        await self._while(1.0)
        self._api.node.dazed = True
        self._api.node.revive()
        await self._while(0.5)  # it has not found its pods yet
        self._api.node.dazed = False

    async def _agentd_killed(self) -> None:
        if lives := [life for life in self._api.node.lives() if life.container is not None]:
            life = self._dice.choice(lives)
            container = life.container
            life.crash()
            await self._api.until(lambda: life.container is not container, within=60)

    async def _server_ill(self) -> None:
        faults = (Fault.status(500), Fault.busy(1), Fault.cut(), Fault.cut_after(), Fault.garbled(), Fault.status(503))
        for request in ("get pods/attach", "create pods", "patch pods", "list pods", "watch events", "get pods"):
            self._api.fail(request, self._dice.choice(faults))
        self._api.streams.cut()

    async def _bot_killed(self) -> None:
        await self._bot.kill()
        await self._while(0.3)
        await self._bot.start()

    async def _while(self, longest: float) -> None:
        await asyncio.sleep(self._dice.uniform(0, longest))


async def suffer(trouble: Trouble, dice: Random) -> Counter[str]:
    """Let everything happen, in any order and at any moment; what happened, by name."""
    kinds = trouble.kinds()
    names = [name for name in kinds for _ in range(EACH)]
    dice.shuffle(names)
    done: Counter[str] = Counter()
    for name in names:
        await asyncio.sleep(dice.uniform(0, 0.8))
        await kinds[name]()
        done[name] += 1
    return done


def states(api: KubeApi) -> dict[str, Path]:
    """Where each run's agentd keeps its state."""
    pods = [(life.pod, Path(life.places.here("/state"))) for life in api.node.lives()]
    runs = [(pod["metadata"]["labels"].get("army/run"), state) for pod, state in pods if pod is not None]
    carriers = {run: state for run, state in runs if run}
    assert len(carriers) == sum(bool(run) for run, _ in runs), "a run has two pods"
    return carriers


def over(api: KubeApi, bot: Product, *, runs: int) -> bool:
    """Whether there is a pod for each of so many runs, and nothing will happen to them any more."""
    return len(carriers := states(api)) == runs and at_rest(bot.data, carriers)


@pytest.mark.slow
@pytest.mark.xdist_group("chaos")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ahead", [0, 2], ids=["cold", "warm"])
async def test_a_cluster_of_which_everything_fails(tmp_path: Path, seed: int, ahead: int) -> None:
    print("CHAOS_SEED", seed)
    began = time.monotonic()
    await prepare(tmp_path / "data", tmp_path)
    dice = Random(f"{seed}/cluster")
    async with (
        KubeApi(rbac=shipped_role()) as api,
        Product(tmp_path / "data", env=api.settings(tmp_path / "kubeconfig") | {"WARM_PODS": str(ahead)}) as bot,
    ):
        api.streams.frame_size = lambda: dice.choice(FRAMES)
        talker = Talker(bot, seed)
        launching = talker.dice("launches")
        for agent in ("single", "mixed", "asking"):
            await talker.launch(agent, launching)
        doomed = await talker.launch("mixed", launching)
        api.fail("create pods", Fault.cut_after())
        async with asyncio.TaskGroup() as group:
            for thread in talker.threads[:-1]:
                group.create_task(talker.talk(thread, pause=0.6))
            group.create_task(talker.talk_in_lobby(pause=0.5, launches=("tap", "single", "mixed")))
            group.create_task(talker.stop_later(doomed, seconds=4))
            done = await suffer(Trouble(api, bot, dice), Random(f"{seed}/order"))
            talker.quiet.set()
        suffered = time.monotonic() - began
        async with asyncio.timeout(SETTLE_SECONDS):
            while not await settled(bot) or not over(api, bot, runs=len(talker.titles) - 1):  # noqa: ASYNC110 - as said
                await asyncio.sleep(0.1)
        finals = sum([check_thread(thread, await talker.me.looks(thread.place)) for thread in talker.threads])
        check_lobby(talker, await talker.me.looks("lobby"))
        known = {thread.place for thread in talker.threads}
        others = [place for place in await talker.me.threads() if place not in known]
        check_others(talker, [read(await talker.me.looks(place)).finals for place in others])
        await bot.close()
        sums = check_disk(tmp_path / "data", talker.threads, states=states(api))
        assert "Traceback" not in bot.words()
        claims = sum(call.right == ("patch", "pods") and call.status == 200 for call in api.calls)
        assert bool(claims) == bool(ahead)
        print(f"{claims} claims, {dict(done)} in {suffered:.0f} s, {time.monotonic() - began:.0f} s in all")
        print(f"{finals} finals, {sums}")
