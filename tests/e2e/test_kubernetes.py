"""The whole product with its agents in a cluster: the bot as a process, the rights of its Role, and agentd in pods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests import botapi
from tests.botapi import BotApi, Standing
from tests.e2e.cast import keep, rehearsed
from tests.e2e.door import command
from tests.kubeapi import KubeApi
from tests.kubeapi.role import shipped_role
from tests.product import LOBBY, Look, Product

WAIT = 60.0
ASKING: list[list[dict[str, object]]] = [
    [
        {"say": "some words while it works", "pace": 0.02},
        {"tool": "Bash", "summary": "make", "output": "made", "seconds": 0.2},
        {"ask": "Go on?", "choices": ["Yes", "No"]},
        {"say": "You chose {answer}."},
    ]
]


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with KubeApi(rbac=shipped_role()) as api:
        yield api


def pods(api: KubeApi) -> list[str]:
    """The names of the pods that there are."""
    return sorted(life.name for life in api.node.lives())


def told(looks: list[Look]) -> str:
    return "\n".join(look.text for look in looks)


async def test_a_run_from_its_launch_to_its_end_and_once_more(api: KubeApi, tmp_path: Path) -> None:
    async with Product(tmp_path / "var", env=api.settings(tmp_path / "kubeconfig")) as bot:
        me = bot.person()
        place = await me.launch("rehearsal", "show me around")
        await me.sees(place, lambda looks: looks[0].text.startswith("working"), seconds=WAIT)
        assert "microVM (Firecracker, runtime class kata-fc)" in told(await me.looks(place))
        (pod,) = pods(api)
        looks = await me.sees(place, lambda looks: "Fix the test" in looks[-1].html, seconds=WAIT)
        await me.press(place, looks[-1], "Fix the test")
        await me.sees(place, lambda looks: "answered · Fix the test (you)" in told(looks), seconds=WAIT)
        await me.say(place, "please mind the docs")
        await me.sees(place, lambda looks: "rehearsal-report.md" in told(looks), seconds=WAIT)
        looks = await me.sees(place, lambda looks: "That was the tour" in looks[-1].text, seconds=WAIT)
        assert "please mind the docs" in looks[-1].text
        assert (pods(api), api.life(pod).restarts) == ([pod], 0)

        await me.say(place, "/stop")
        looks = await me.sees(place, lambda looks: "Launch again" in looks[-1].html, seconds=WAIT)
        assert "ended · stopped by you" in looks[-1].text
        await api.until(lambda: not pods(api), within=WAIT)

        before = set(await me.threads())
        await me.press(place, looks[-1], "Launch again")
        await api.until(lambda: pods(api), within=WAIT)
        assert pods(api) != [pod]
        (other,) = set(await me.threads()) - before
        await me.sees(other, lambda looks: looks[0].text.startswith("working"), seconds=WAIT)
        await me.say(other, "/stop")
        await me.sees(other, lambda looks: "ended · stopped by you" in looks[-1].text, seconds=WAIT)
        await api.until(lambda: not pods(api), within=WAIT)
        assert await bot.close() == 0
        assert "Traceback" not in bot.words()
        assert api.token not in bot.words()
    asked = [call.right for call in api.calls]
    assert asked.count(("list", "pods")) == 1, "one list for as long as the bot lives"
    assert asked.count(("create", "pods")) == 2


async def test_a_run_on_telegram_that_is_left_by_its_bot(api: KubeApi, tmp_path: Path) -> None:
    """The pod goes on alone; its question stands when the bot is back, and nothing of it stands twice."""
    await keep(tmp_path / "var", rehearsed(tmp_path, "asking", ASKING, then=[{"say": "again: {said}"}]))
    async with BotApi(private_topics=True) as telegram:
        ann = telegram.person(7, "Ann")
        home = telegram.private(ann)
        env = {"TELEGRAM_TOKEN": telegram.token, "TELEGRAM_ALLOWED_USERS": "7", "TELEGRAM_API_BASE": telegram.url}

        async def seen(wanted: Callable[[Standing], bool], thread: int | None = None) -> Standing:
            return await telegram.seen(home.id, wanted, thread=thread, within=WAIT)

        async with Product(tmp_path / "var", env=env | api.settings(tmp_path / "kubeconfig")) as bot:
            await ann.says(home, "/launch asking go")
            page = await seen(lambda m: m.own and bool(m.thread) and bool(m.buttons))
            await api.until(lambda: pods(api), within=WAIT)
            await bot.kill()
            await ann.says(home, "said meanwhile", thread=page.thread)
            await bot.start()
            # Said before the question stood it is a word to the agent, and the question waits for a button.
            asked = await seen(lambda m: "Go on?" in m.text, thread=page.thread)
            if asked.buttons:
                await ann.presses(asked, "Yes")
            await seen(lambda m: "You chose " in m.text and not m.silent, thread=page.thread)
            await ann.says(home, "the end", thread=page.thread)
            await seen(lambda m: m.text.endswith("again: the end"), thread=page.thread)
            await ann.says(home, "/stop", thread=page.thread)
            ended = await seen(lambda m: "ended · stopped by Ann" in m.text, thread=page.thread)
            await api.until(lambda: not pods(api), within=WAIT)
            await ann.presses(ended, "Launch again")
            await api.until(lambda: pods(api), within=WAIT)
            assert botapi.TOKEN not in bot.words()
            assert "Traceback" not in bot.words()
        texts = [m.text for m in telegram.messages(home.id) if m.thread == page.thread]
        assert sum("again: the end" in text for text in texts) == 1
        assert sum("You chose" in text for text in texts) == 1


async def test_a_bot_that_is_there_before_its_cluster(api: KubeApi, tmp_path: Path) -> None:
    """People are heard, are told what is waited for, and what they launched goes on by itself."""
    env = api.settings(tmp_path / "kubeconfig")
    await api.down()
    async with Product(tmp_path / "var", env=env) as bot:
        me = bot.person()
        place = await me.launch("rehearsal", "show me around")
        await me.sees(place, lambda looks: "The cluster's API cannot be reached" in looks[0].text, seconds=WAIT)
        await api.up()
        await me.sees(place, lambda looks: looks[0].text.startswith("working"), seconds=WAIT)
        assert len(pods(api)) == 1
        await me.say(place, "/stop")
        await me.sees(place, lambda looks: "ended · stopped by you" in looks[-1].text, seconds=WAIT)
        assert "Traceback" not in bot.words()


async def test_a_pod_that_is_lost_while_it_comes_is_made_anew(api: KubeApi, tmp_path: Path) -> None:
    """Evicted, drained, or without room on its node after all: nobody had heard of it, so nothing is lost."""
    api.node.pull_seconds = 600.0
    async with Product(tmp_path / "var", env=api.settings(tmp_path / "kubeconfig")) as bot:
        me = bot.person()
        place = await me.launch("rehearsal", "show me around")
        await api.until(lambda: pods(api), within=WAIT)
        await me.sees(place, lambda looks: "being made" in looks[0].text, seconds=WAIT)
        (life,) = api.node.lives()
        api.node.pull_seconds = 0.0
        life.evict()
        await me.sees(place, lambda looks: looks[0].text.startswith("working"), seconds=WAIT)
        (other,) = api.node.lives()
        assert other.uid != life.uid
        assert "ended" not in told(await me.looks(place))


async def test_the_doctor_in_the_chat_looks_from_within_and_counts_down(api: KubeApi, tmp_path: Path) -> None:
    env = api.settings(tmp_path / "kubeconfig") | {"CREDENTIALS_EXPIRE": "token=2099-01-01"}
    async with Product(tmp_path / "var", env=env) as bot:
        me = bot.person()
        await me.say(LOBBY, "/doctor")
        looks = await me.sees(LOBBY, lambda looks: "the bot may do what it needs" in told(looks), seconds=WAIT)
        assert "the cluster would take an agent's pod" in told(looks)
        assert "until 2099-01-01" in told(looks)
        assert "no TELEGRAM_TOKEN" in told(looks)
        assert "Another bot" not in told(looks), "it is itself the one that has the data and the port"
        assert "in use" not in told(looks)


async def test_the_doctor_looks_at_the_cluster(api: KubeApi, tmp_path: Path) -> None:
    bot = Product(tmp_path / "var", env=api.settings(tmp_path / "kubeconfig"))
    bot.data.mkdir()
    said = await command(bot, "doctor", within=WAIT)
    assert "the bot may do what it needs in the namespace claude-agents" in said.out
    assert "the cluster would take an agent's pod" in said.out
    assert api.token not in said.out + said.err
    api.rbac = [rule for rule in api.rbac if "pods/attach" not in rule["resources"]]
    said = await command(bot, "doctor", within=WAIT)
    assert said.code == 1
    assert "the bot may not: get pods/attach, create pods/attach" in said.out
    said = await command(bot, "run", env={"KUBECONFIG": str(tmp_path / "nowhere")}, within=WAIT)
    assert said.code == 1
    assert f"there is no kubeconfig at {tmp_path / 'nowhere'}" in said.err
