"""The whole product on Telegram and on Discord, as people there see it: a tour, a killed bot, one run in both chats.

The bot is a process with nothing set but what the README names; the platforms are servers of our own on loopback.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests import botapi, discordapi
from tests.botapi import BotApi, Standing
from tests.discordapi import Discord
from tests.e2e.cast import keep, rehearsed
from tests.product import Product

DISCORD_TOKEN = "MTA.not-a-token.but-as-long-as-one-would-be-000000"
SLOW: list[list[dict[str, object]]] = [
    [
        {"say": "word " * 30, "pace": 0.1},
        {"tool": "Bash", "summary": "make", "output": "made", "seconds": 0.3},
        {"ask": "Go on?", "choices": ["Yes", "No"]},
        {"say": "You chose {answer}.", "pace": 0.02},
    ]
]


@asynccontextmanager
async def bot(
    folder: Path, *, telegram: BotApi | None = None, discord: Discord | None = None
) -> AsyncIterator[Product]:
    """The bot with the settings that the README names, and those that lead to loopback."""
    env: dict[str, str] = {}
    if telegram:
        env |= {"TELEGRAM_TOKEN": telegram.token, "TELEGRAM_ALLOWED_USERS": "7", "TELEGRAM_API_BASE": telegram.url}
    if discord:
        env |= {"DISCORD_TOKEN": DISCORD_TOKEN, "DISCORD_ALLOWED_GUILDS": str(discord.guild.id)}
        env |= {"DISCORD_API_BASE": discord.rest, "DISCORD_GATEWAY_URL": discord.gateway}
    await keep(folder / "var", rehearsed(folder, "slow", SLOW, then=[{"say": "again: {said}"}]))
    async with Product(folder / "var", env=env) as bot:
        yield bot
        words = bot.words()
        assert botapi.TOKEN not in words
        assert botapi.TOKEN.partition(":")[2] not in words
        assert DISCORD_TOKEN not in words
        assert "Traceback" not in words


async def test_telegram_alone_on_a_phone(tmp_path: Path) -> None:
    async with BotApi(private_topics=True) as api:
        ann = api.person(7, "Ann")
        home = api.private(ann)
        async with bot(tmp_path, telegram=api):
            said = await ann.says(home, "/launch rehearsal show me around")
            await api.seen(home.id, lambda m: m.id == said.id and m.reactions in {("👀",), ("👍",)})
            page = await api.seen(home.id, lambda m: m.own and bool(m.thread) and "This is a rehearsal" in m.text)
            assert page.silent
            topic = page.thread
            assert home.topics[topic].name == "show me around"
            asked = await api.seen(
                home.id, lambda m: "Which way shall I go on?" in m.text and bool(m.buttons), thread=topic
            )
            assert not asked.silent
            await ann.presses(asked, "Fix the test")
            await api.seen(home.id, lambda m: m.id == asked.id and "answered · Fix the test (Ann)" in m.text)
            said = await ann.says(home, "please mind the docs", thread=topic)
            await api.seen(home.id, lambda m: m.id == said.id and "👍" in m.reactions)
            report = await api.seen(home.id, lambda m: bool(m.file), thread=topic)
            assert report.file
            assert report.file.name == "rehearsal-report.md"
            assert b"- your answer: Fix the test" in report.file.content
            final = await api.seen(home.id, lambda m: "That was the tour" in m.text and not m.silent, thread=topic)
            assert "please mind the docs" in final.text
            await api.seen(home.id, lambda m: m.id == page.id and bool(re.search(r"done · \d+ s", m.text)))
            await ann.says(home, "/stop", thread=topic)
            await api.seen(home.id, lambda m: "ended · stopped by Ann" in m.text, thread=topic)
        assert api.told_to_wait == 0


async def test_discord_alone_on_a_server(tmp_path: Path) -> None:
    async with Discord(token=DISCORD_TOKEN) as api:
        channel = api.text_channel("general")
        ann, eve = api.owner, api.person(None, "Eve", permissions=0)
        async with bot(tmp_path, discord=api):
            await api.until(lambda: "launch" in api.command_names)
            answer = await ann.slash(channel, "launch", agent="rehearsal", task="show me around")
            assert answer.took is not None
            assert answer.took < 1
            await api.until(lambda: api.threads(channel))
            (thread,) = api.threads(channel)
            assert thread.name == "show me around"

            def stands(words: str) -> discordapi.Message | None:
                return next((m for m in api.messages(thread) if words in m.text), None)

            await api.until(lambda: stands("This is a rehearsal"))
            await api.until(lambda: stands("Which way shall I go on?"))
            asked = stands("Which way shall I go on?")
            assert asked
            refused = await eve.presses(asked, "Fix the test")
            await api.until(lambda: any("not on this bot's list" in m.text for m in refused.followups))
            assert all(m.ephemeral for m in refused.followups), "somebody who may not is told so, alone"
            await ann.presses(asked, "Fix the test")
            await api.until(lambda: stands("answered · Fix the test"))
            said = await ann.says(thread, "please mind the docs")
            await api.until(lambda: "✅" in said.reactions)
            await api.until(lambda: any(m.attachments for m in api.messages(thread)))
            await api.until(lambda: any(final.text.startswith("That was the tour") for final in api.messages(thread)))
            final = next(m for m in api.messages(thread) if m.text.startswith("That was the tour"))
            assert "please mind the docs" in final.text
            await ann.slash(thread, "stop")
            await api.until(lambda: stands("ended · stopped by"))
            await api.until(lambda: thread.archived)
        assert api.told_to_wait == 0
        assert not any(message.pings for message in api.every_message())


async def test_one_run_is_watched_and_answered_from_both(tmp_path: Path) -> None:
    async with BotApi() as telegram, Discord(token=DISCORD_TOKEN) as discord:
        ann, bob = telegram.person(7, "Ann"), discord.owner
        home, channel = telegram.private(ann), discord.text_channel("general")
        async with bot(tmp_path, telegram=telegram, discord=discord):
            await ann.says(home, "/launch slow go")
            await telegram.seen(home.id, lambda m: m.own and "word word" in m.text)
            await discord.until(lambda: "runs" in discord.command_names)
            await bob.slash(channel, "runs")
            await discord.until(
                lambda: any("Watch here" in b.label for m in discord.messages(channel) for b in m.buttons)
            )
            board = next(m for m in discord.messages(channel) if m.buttons)
            await bob.presses(board, next(b.label for b in board.buttons if "Watch here" in b.label))
            await discord.until(lambda: discord.threads(channel))
            (thread,) = discord.threads(channel)
            await discord.until(lambda: any("Go on?" in m.text and m.buttons for m in discord.messages(thread)))
            asked = next(m for m in discord.messages(thread) if "Go on?" in m.text)
            await telegram.seen(home.id, lambda m: "Go on?" in m.text and bool(m.buttons))
            await bob.presses(asked, "Yes")
            await telegram.seen(home.id, lambda m: "answered · Yes" in m.text)
            await telegram.seen(home.id, lambda m: m.text.endswith("You chose Yes."))
            await discord.until(lambda: any(m.text.endswith("You chose Yes.") for m in discord.messages(thread)))
            await bob.says(thread, "and now this")
            await telegram.seen(home.id, lambda m: m.text.endswith("again: and now this"))
            assert any("and now this" in m.text and "wrote" in m.text for m in telegram.messages(home.id))


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0])
async def test_a_bot_that_is_killed_leaves_nothing_undone_in_either_chat(tmp_path: Path, seconds: float) -> None:
    """Buttons of before work, what was said meanwhile is heard, and each final stands once."""
    async with BotApi(private_topics=True) as telegram, Discord(token=DISCORD_TOKEN) as discord:
        ann, bob = telegram.person(7, "Ann"), discord.owner
        home, channel = telegram.private(ann), discord.text_channel("general")
        async with bot(tmp_path, telegram=telegram, discord=discord) as product:
            await discord.until(lambda: "launch" in discord.command_names)
            await ann.says(home, "/launch slow go")
            await bob.slash(channel, "launch", agent="slow", task="go")
            await discord.until(lambda: discord.threads(channel))
            (thread,) = discord.threads(channel)
            page = await telegram.seen(home.id, lambda m: m.own and bool(m.thread) and bool(m.buttons))
            await asyncio.sleep(seconds)
            await product.kill()
            await ann.says(home, "said meanwhile", thread=page.thread)
            await bob.says(thread, "said meanwhile")
            await product.start()

            # Said while no question stands it is a word; asked meanwhile, it is the answer. Either way it is heard.
            async with asyncio.timeout(40):
                while not (finals(telegram.messages(home.id)) and finals(discord.messages(thread))):
                    for m in telegram.messages(home.id):
                        if "Go on?" in m.text and m.buttons:
                            await ann.presses(m, "Yes")
                    for d in discord.messages(thread):
                        if "Go on?" in d.text and d.buttons:
                            await bob.presses(d, "Yes")
                    await asyncio.sleep(0.2)
            await ann.says(home, "the end", thread=page.thread)
            await bob.says(thread, "the end")
            await telegram.seen(home.id, lambda m: m.text.endswith("again: the end"))
            await discord.until(lambda: any(m.text.endswith("again: the end") for m in discord.messages(thread)))
            for found in (finals(telegram.messages(home.id)), finals(discord.messages(thread))):
                assert len(found) == len(set(found)), found
                assert sum("again: the end" in text for text in found) == 1


def finals(messages: Sequence[Standing] | Sequence[discordapi.Message]) -> list[str]:
    """What agents said at the end of their turns."""
    return [m.text for m in messages if "again:" in m.text or "You chose" in m.text]
