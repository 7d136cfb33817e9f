"""The whole product with pods started ahead: a launch takes one, whatever happens to the bot meanwhile."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.e2e.cast import keep, rehearsed
from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.role import shipped_role
from tests.product import Product

WAIT = 60.0
ASKING: list[list[dict[str, object]]] = [[{"ask": "Go on?", "choices": ["Yes", "No"]}, {"say": "You chose {answer}."}]]


def warm(api: KubeApi) -> list[str]:
    """The pods that wait for a run and are up."""
    lives = [life for life in api.node.lives() if life.container and life.pod]
    return sorted(life.name for life in lives if life.pod and "army/warm" in life.pod["metadata"]["labels"])


async def scraped(bot: Product) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{bot.url}/metrics") as answer,
    ):
        return await answer.text()


def carriers(api: KubeApi) -> list[str]:
    """The pods that carry a run."""
    return [life.name for life in api.node.lives() if life.pod and "army/run" in life.pod["metadata"]["labels"]]


@pytest.mark.parametrize("moment", ["before it learns of its claim", "while the agent waits"])
async def test_a_launch_takes_a_pod_that_waits_and_a_killed_bot_finds_it_again(tmp_path: Path, moment: str) -> None:
    data = tmp_path / "var"
    await keep(data, rehearsed(tmp_path, "asking", ASKING))  # the first real one by name: what /launch takes by itself
    async with KubeApi(rbac=shipped_role()) as api:
        env = api.settings(tmp_path / "kubeconfig") | {"WARM_PODS": "1"}
        async with Product(data, env=env) as bot:
            me = bot.person()
            await api.until(lambda: len(warm(api)) == 1, within=WAIT)
            (waiting,) = warm(api)
            if moment == "before it learns of its claim":
                api.fail("patch pods", Fault.cut_after())
                place = await me.launch("asking", "go")
                await api.until(lambda: carriers(api), within=WAIT)
            else:
                place = await me.launch("asking", "go")
                await me.sees(place, lambda looks: "Go on?" in looks[-1].text, seconds=WAIT)
                assert 'army_warm_claims_total{found="hit"} 1.0' in await scraped(bot)
            await bot.kill()
            await bot.start()
            looks = await me.sees(place, lambda looks: "Go on?" in looks[-1].text, seconds=WAIT)
            await me.press(place, looks[-1], "Yes")
            await me.sees(place, lambda looks: "You chose Yes." in looks[-1].text, seconds=WAIT)
            assert (carriers(api), api.life(waiting).restarts) == ([waiting], 0)
            await api.until(lambda: len(warm(api)) == 1, within=WAIT)
            await me.say(place, "/stop")
            await me.sees(place, lambda looks: "ended · stopped by you" in looks[-1].text, seconds=WAIT)
            await api.until(lambda: [life.name for life in api.node.lives()] == warm(api), within=WAIT)
            assert await bot.close() == 0
            assert "Traceback" not in bot.words()
        assert not [call for call in api.calls if call.status == 403]
