"""Bad days of whoever runs the bot on Telegram and Discord: what they read, and that no secret is in any of it.

The bot is a process; the platforms are servers of our own on loopback. The page works whatever becomes of a chat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.discord.errors import NO_INTENT, NOT_ACCEPTED
from adapters.telegram.errors import NO_TOKEN
from adapters.telegram.hearing import RIVAL
from orchestrator.nouns import Agent
from tests import botapi, discordapi
from tests.botapi import BotApi, Kind
from tests.discordapi import Discord
from tests.discordapi.gateway import MESSAGE_CONTENT
from tests.e2e.cast import keep, rehearsed
from tests.e2e.door import Said, command
from tests.product import ROOT, Product

ECHO = Agent("echo", "rehearsal", script="echo")
DISCORD_TOKEN = "MTA.not-a-token.but-as-long-as-one-would-be-000000"
OTHER_TOKEN = "4242:TEST-of-another-bot-that-nobody-knows-00"
WEBHOOK_SECRET = "the-secret-that-telegram-brings-along-0123"
ANN = 7
NOT_UNTIL = "a chat is not heard until its settings are changed"


def on_telegram(api: BotApi, **more: str) -> dict[str, str]:
    """The settings that the README names, and the one that leads to loopback."""
    known = {"TELEGRAM_TOKEN": api.token, "TELEGRAM_ALLOWED_USERS": str(ANN), "TELEGRAM_API_BASE": api.url}
    return known | more


def on_discord(api: Discord, **more: str) -> dict[str, str]:
    """The settings that the README names, and those that lead to loopback."""
    known = {"DISCORD_TOKEN": DISCORD_TOKEN, "DISCORD_ALLOWED_GUILDS": str(api.guild.id)}
    return known | {"DISCORD_API_BASE": api.rest, "DISCORD_GATEWAY_URL": api.gateway} | more


async def logged(bot: Product, event: str, *, platform: str, within: float = 20.0) -> Mapping[str, Any]:
    """The first line of the log with this event about this platform, as soon as it is there."""
    async with asyncio.timeout(within):
        while True:
            for line in bot.words().splitlines():
                entry = json.loads(line) if line.startswith("{") else {}
                if entry.get("event") == event and entry.get("platform") == platform:
                    found: Mapping[str, Any] = entry
                    return found
            await asyncio.sleep(0.05)


async def heard(bot: Product) -> dict[str, float]:
    """What `/metrics` says of each platform."""
    async with aiohttp.ClientSession() as http, http.get(f"{bot.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    samples = [sample for family in families for sample in family.samples if sample.name == "army_chat_heard"]
    return {sample.labels["platform"]: sample.value for sample in samples}


async def works_on_the_page(bot: Product) -> None:
    """Somebody at the page is answered."""
    me = bot.person()
    run = await me.launch("echo", "hello")
    await me.sees(run, lambda looks: looks[-1].text == "echo: hello")


# --- settings that a platform does not take -------------------------------------------------------------------------


async def deaf(bot: Product, platform: str, why: str) -> Said:
    """A platform that is not heard costs no other: the log, the page, the gauge and the doctor tell of it alike."""
    line = await logged(bot, NOT_UNTIL, platform=platform)
    assert (line["level"], line["why"]) == ("error", why)
    await works_on_the_page(bot)
    assert (await heard(bot))[platform] == 0
    said = await command(bot, "doctor")
    assert said.code == 1
    assert f"✗ {platform:<12} {why}" in said.out
    return said


async def test_a_wrong_telegram_token(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO)
    async with BotApi() as api, Product(tmp_path / "var", env=on_telegram(api, TELEGRAM_TOKEN=OTHER_TOKEN)) as bot:
        words = (
            "Telegram does not accept TELEGRAM_TOKEN. @BotFather shows the right one (/mybots, API Token) or makes a "
            "new one."
        )
        said = await deaf(bot, "telegram", words)
        assert OTHER_TOKEN.partition(":")[2] not in bot.words() + said.out + said.err
        assert await bot.close() == 0


def wrong_for_everything(_: Discord) -> dict[str, str]:
    return {"DISCORD_TOKEN": "MTA.of-another-bot.that-nobody-knows-00000000"}


def reset_meanwhile(api: Discord) -> dict[str, str]:
    api.sockets.identifies_left = 0  # the gateway alone says so: 4004
    return {}


@pytest.mark.parametrize("wrong", [wrong_for_everything, reset_meanwhile])
async def test_a_wrong_discord_token(tmp_path: Path, wrong: Any) -> None:
    await keep(tmp_path / "var", ECHO)
    async with (
        Discord(token=DISCORD_TOKEN) as api,
        Product(tmp_path / "var", env=on_discord(api) | wrong(api)) as bot,
    ):
        words = (
            "DISCORD_TOKEN is not accepted by Discord: it was reset, or is not the token of a bot. Make a new one in "
            "the developer portal, under Bot, Reset Token."
        )
        await deaf(bot, "discord", words)
        assert await bot.close() == 0


async def test_the_intent_that_is_not_switched_on(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO)
    async with Discord(token=DISCORD_TOKEN) as api:
        api.sockets.disallowed = MESSAGE_CONTENT
        async with Product(tmp_path / "var", env=on_discord(api)) as bot:
            line = await logged(bot, NOT_UNTIL, platform="discord")
            words = (
                "Discord does not let this bot read messages: switch on “Message Content Intent” for it in the "
                "developer portal, under Bot, and start again."
            )
            assert line["why"] == words
            await works_on_the_page(bot)
            said = await command(bot, "doctor")
            assert said.code == 1
            assert f"✗ discord      {words}" in said.out
            assert api.sockets.connections == 1, "it does not try again what cannot work"


async def test_nobody_is_allowed(tmp_path: Path) -> None:
    bot = Product(tmp_path / "var", env={"TELEGRAM_TOKEN": OTHER_TOKEN, "DISCORD_TOKEN": DISCORD_TOKEN})
    for what in ("run", "doctor"):
        said = await command(bot, what)
        assert (said.code, said.out) == (2, "")
        assert said.err == (
            "✗ TELEGRAM_ALLOWED_USERS is missing: with TELEGRAM_TOKEN alone nobody may talk to the bot. Set your "
            "numeric id; if you do not know it, set 1, write /start to the bot, and it tells you.\n"
            "✗ DISCORD_ALLOWED_GUILDS is missing: with DISCORD_TOKEN alone the bot may speak in no server. Set your "
            "server's id: switch Developer Mode on in Discord, then Copy Server ID in the server's menu.\n"
            "Nothing was started.\n"
        )


def test_the_document_has_these_sentences() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for sentence in (NO_TOKEN, RIVAL, NOT_ACCEPTED, NO_INTENT):
        assert f"`{sentence}`" in text


# --- platforms that are not there -----------------------------------------------------------------------------------


async def test_another_program_polls(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO)
    async with BotApi() as api, Product(tmp_path / "var", env=on_telegram(api)) as bot:
        async with asyncio.timeout(20):
            while not api.world.updates.polled:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as rival:
            await rival.post(f"{api.url}/bot{api.token}/getUpdates", json={"timeout": 0})
        line = await logged(bot, "not heard", platform="telegram")
        assert line["why"] == (
            "Another program hears this bot's messages. End it, or give one of the two another token."
        )
        assert line["again_in"] == 30
        await works_on_the_page(bot)
        assert (await heard(bot))["telegram"] == 0


async def test_both_are_down_at_the_start_and_come_back(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO)
    async with BotApi(private_topics=True) as telegram, Discord(token=DISCORD_TOKEN) as discord:
        ann, bob = telegram.person(ANN, "Ann"), discord.owner
        home, channel = telegram.private(ann), discord.text_channel("general")
        env = on_telegram(telegram) | on_discord(discord)
        await telegram.refuse()
        await discord.down()
        async with Product(tmp_path / "var", env=env) as bot:
            line = await logged(bot, "not heard", platform="telegram")
            assert line["why"].startswith("Telegram cannot be reached: ")
            line = await logged(bot, "not heard", platform="discord")
            assert line["why"] == "Discord could not be reached (ClientConnectorError)."
            await works_on_the_page(bot)
            assert await heard(bot) == {"web": 1, "telegram": 0, "discord": 0}
            said = await command(bot, "doctor")
            assert said.code == 0, "a network that is away mends itself"
            assert "⚠ telegram     Telegram cannot be reached: " in said.out
            assert (
                "⚠ discord      Discord could not be reached (ClientConnectorError). Look at this machine's" in said.out
            )
            await telegram.listen()
            await discord.up()
            await ann.says(home, "/launch echo one")
            await telegram.seen(home.id, lambda m: m.text.endswith("echo: one"), within=40)
            await discord.until(lambda: "launch" in discord.command_names, within=60)
            await bob.slash(channel, "launch", agent="echo", task="two")
            await discord.until(
                lambda: any("echo: two" in m.text for t in discord.threads(channel) for m in discord.messages(t))
            )
            assert await heard(bot) == {"web": 1, "telegram": 1, "discord": 1}


# --- secrets --------------------------------------------------------------------------------------------------------

ASKS: list[list[Mapping[str, object]]] = [
    [{"ask": "Go on?", "choices": ["Yes", "No"]}, {"say": "You chose {answer}."}],
]


@pytest.mark.parametrize("way", ["polls", "webhook"])
async def test_no_secret_is_in_any_log_or_file(tmp_path: Path, way: str) -> None:
    """At DEBUG, where libraries tell what they send: through words, buttons, files, errors and cuts."""
    await keep(tmp_path / "var", rehearsed(tmp_path, "asker", ASKS, then=[{"say": "again: {said}"}]))
    async with BotApi(private_topics=True) as telegram, Discord(token=DISCORD_TOKEN) as discord:
        env = on_telegram(telegram) | on_discord(discord) | {"LOG_LEVEL": "DEBUG", "NO_PROXY": "*"}
        bot = Product(tmp_path / "var", env=env)
        if way == "webhook":
            more = {"TELEGRAM_WEBHOOK_URL": bot.url, "TELEGRAM_WEBHOOK_SECRET": WEBHOOK_SECRET}
            port, bot = bot.port, Product(tmp_path / "var", env=env | more)
            bot.port = port
        async with bot:
            await story_on_telegram(telegram)
            await story_on_discord(discord)
            said = await command(bot, "doctor")
            secrets = {
                "Telegram's token": botapi.TOKEN.partition(":")[2],
                "Discord's token": DISCORD_TOKEN,
                "the webhook's secret": WEBHOOK_SECRET,
            } | {f"of interaction {i.kind}": i.token for i in discord.town.interactions.values()}
            assert len(secrets) > 5, "commands, buttons and what was typed are in it"
            texts = {"doctor": (said.out + said.err).encode(), "log": bot.log.read_bytes()}
            texts |= {str(path): path.read_bytes() for path in bot.data.rglob("*") if path.is_file()}
            assert len(texts) > 5
            told = [
                (name, where)
                for name, secret in secrets.items()
                for where, text in texts.items()
                if secret.encode() in text
            ]
            assert told == []
            assert b"getMe" in texts["log"], "what libraries say is in there"


async def story_on_telegram(api: BotApi) -> None:
    """Words, a button, a file; an error, a cut and half an answer."""
    ann = api.person(ANN, "Ann")
    home = api.private(ann)
    for kind in (Kind.STATUS, Kind.CUT_AFTER, Kind.MALFORMED):
        api.fail("sendMessage", botapi.Fault(kind, status=500))
        api.fail("getUpdates", botapi.Fault(kind, status=500))
        api.fail("setMyCommands", botapi.Fault(kind, status=500))
    await ann.says(home, "/launch asker one")
    asked = await api.seen(home.id, lambda m: "Go on?" in m.text and bool(m.buttons), within=60)
    api.fail("answerCallbackQuery", botapi.Fault(Kind.STATUS, status=500))
    await ann.presses(asked, "Yes")
    await api.seen(home.id, lambda m: m.text.endswith("You chose Yes."), within=60)
    api.fail("file", botapi.Fault(Kind.STATUS, status=500))
    await ann.sends_document(home, "a.txt", b"a", caption="look", thread=asked.thread)
    await api.seen(home.id, lambda m: "again: look" in m.text, within=60)


async def story_on_discord(api: Discord) -> None:
    """Commands, a menu while somebody types, words, a button, a file; errors and cuts on each way."""
    bob, channel = api.owner, api.text_channel("general")
    await api.until(lambda: "launch" in api.command_names)
    await bob.types(channel, "launch", "agent", "as")
    for fault in (discordapi.Fault.broken(500), discordapi.Fault.cut_after()):
        api.fail("POST /channels/{}/messages", fault)
        api.fail("PATCH", fault)
    await bob.slash(channel, "launch", agent="asker", task="two")

    def stands(words: str) -> discordapi.Message | None:
        found = (m for t in api.threads(channel) for m in api.messages(t) if words in m.text)
        return next(found, None)

    await api.until(lambda: (m := stands("Go on?")) and m.buttons, within=60)
    asked = stands("Go on?")
    assert asked
    api.sockets.cut()
    await api.sockets.connected()
    api.fail("POST /interactions/{}/{}/callback", discordapi.Fault.broken(500))
    await bob.presses(asked, "Yes")
    await asyncio.sleep(0.5)
    if not stands("You chose Yes."):
        await bob.presses(asked, "Yes")
    await api.until(lambda: stands("You chose Yes."), within=60)
    await bob.says(asked.channel, "look", attachments=[("a.txt", b"a")])
    await api.until(lambda: stands("again: look"), within=60)
