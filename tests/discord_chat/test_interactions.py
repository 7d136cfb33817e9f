"""Commands, buttons, forms and choices, as people use them: answered at once, and seen by who did it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Button, Message, MessageId
from tests.discord_chat.stage import Home, now
from tests.discordapi import Fault, Interaction, Permission
from tests.discordapi.people import Person
from tests.discordapi.world import Attachment
from tests.discordapi.world import Message as Shown

pytestmark = pytest.mark.looptime


async def synced(home: Home) -> Person:
    """Somebody whose client shows the commands."""
    await home.api.until(lambda: home.api.commands)
    return home.api.person(None, "Ann", roles=["crew"])


def is_prompt(answer: Interaction, *, within: float = 1) -> bool:
    return answer.took is not None and answer.took < within


async def button(home: Home, chat: DiscordChat, token: str = "stop:r1") -> Shown:
    message = await chat.post(home.where, Message(text="A run", buttons=(Button("Stop", token),)), key="page")
    return home.api.world.message(home.channel, int(message))


async def test_a_command_is_a_typed_line_and_leaves_nothing_behind(home: Home) -> None:
    async with home.living():
        ann = await synced(home)
        done = await (await ann.slash(home.channel, "launch", agent="claude", task="fix the test")).finished()
        assert is_prompt(done)
        assert done.ephemeral
        assert done.deleted
        for name, options in (("stop", {}), ("logs", {"n": 20}), ("help", {})):
            await (await ann.slash(home.channel, name, **options)).finished()
    assert home.core.texts == ["/launch claude fix the test", "/stop", "/logs 20", "/help"]
    first = home.core.heard[0]
    assert first.key.startswith("discord/i/")
    assert first.where == home.where
    assert first.person.name == "Ann"
    assert first.person.roles == (str(next(role.id for role in home.api.guild.roles.values() if role.name == "crew")),)
    assert home.api.messages(home.channel) == []


async def test_who_manages_the_server_has_a_role_for_it(home: Home) -> None:
    async with home.living():
        await synced(home)
        boss = home.api.person(None, "Boss", permissions=int(Permission.MANAGE_GUILD))
        admin = home.api.person(None, "Admin", permissions=int(Permission.ADMINISTRATOR))
        for who in (boss, admin, home.api.owner):
            await (await who.slash(home.channel, "help")).finished()
            await who.says(home.channel, f"<@{home.api.world.me.id}> help")
        await home.core.hears(6)
    assert all("manager" in inbound.person.roles for inbound in home.core.heard)


async def test_a_command_in_a_thread_is_of_that_thread(home: Home) -> None:
    async with home.living() as chat:
        ann = await synced(home)
        where = await chat.open(home.where, "A run", key="run-1")
        await (await ann.slash(home.thread(where), "stop")).finished()
    assert home.core.heard[0].where == where


async def test_commands_are_told_once_and_again_when_they_change(home: Home) -> None:
    for life in range(3):
        async with home.living():
            await synced(home)
            await asyncio.sleep(5)
        assert len([call for call in home.api.calls if call.method == "PUT"]) == 1, life
    definitions = home.api.calls[[call.method for call in home.api.calls].index("PUT")].body
    assert all(one.get("default_member_permissions") is None for one in definitions)
    home.notes.texts[f"commands/{home.api.guild.id}"] = "another"
    async with home.living():
        await asyncio.sleep(5)
    assert len([call for call in home.api.calls if call.method == "PUT"]) == 2


async def stopping(home: Home, chat: DiscordChat) -> tuple[Person, Interaction, Interaction]:
    """Somebody wants a stop by a command and by a button: who, and what became of each."""
    ann = await synced(home)
    typed = await (await ann.slash(home.channel, "stop")).finished()
    pressed = await ann.presses(await button(home, chat), "Stop")
    await pressed.until(lambda one: one.followups)
    return ann, typed, pressed


async def test_a_refusal_is_for_who_asked_alone(home: Home) -> None:
    async with home.living() as chat:
        home.core.deaf = Refused("You are not on this bot's list @everyone.")
        ann, typed, pressed = await stopping(home, chat)
    told = [typed.message, *pressed.followups]
    for message in told:
        assert message is not None
        assert message.ephemeral_for == ann.id
        assert "not on this bot's list" in message.text
        assert message.allowed_mentions == {"parse": [], "replied_user": False} or message.pings == []
        assert "@everyone" not in message.text, "not even as words that look like it"
    assert len(home.api.messages(home.channel)) == 1


async def test_what_was_not_taken_is_said(home: Home) -> None:
    async with home.living() as chat:
        home.core.deaf = Broken("The disk is full.")
        _, typed, pressed = await stopping(home, chat)
    assert "Nothing was taken" in typed.content
    assert "Try again" in pressed.followups[0].text


async def test_a_launch_without_a_task_opens_a_form(home: Home) -> None:
    async with home.living():
        ann = await synced(home)
        opened = await ann.slash(home.channel, "launch", agent="codex")
        assert opened.modal is not None
        sent = await (await ann.submits(opened, task="fix\nthe test " + "x" * 3900)).finished()
        assert sent.deleted
        bare = await ann.slash(home.channel, "launch")
        await (await ann.submits(bare, task="no agent")).finished()
    assert home.core.texts == ["/launch codex fix\nthe test " + "x" * 3900, "/launch no agent"]


async def test_agents_are_suggested_and_strangers_see_none(home: Home) -> None:
    async with home.living():
        ann = await synced(home)
        assert await ann.types(home.channel, "launch", "agent", "cl") == [("claude – writes code", "claude")]
        assert home.core.asked[0][1:] == (home.where, "cl")
        assert home.core.asked[0][0].id == str(ann.id)
        for trouble in (Refused("Not you."), Broken("Starting.")):
            home.core.deaf = trouble
            assert await ann.types(home.channel, "launch", "agent", "cl") == []


async def test_suggestions_that_take_too_long_are_none(home: Home) -> None:
    async def slow(*_: object) -> list[tuple[str, str]]:
        await asyncio.sleep(60)
        return []

    home.core.suggest = slow  # type: ignore[assignment]
    async with home.living():
        ann = await synced(home)
        before = now()
        assert await ann.types(home.channel, "launch", "agent", "cl") == []
        assert now() - before < 3


async def test_a_button_of_before_a_restart_works(home: Home) -> None:
    async with home.living() as chat:
        shown = await button(home, chat)
    async with home.living():
        ann = home.api.person(None, "Ann")
        pressed = await ann.presses(shown, "Stop")
        await home.core.hears(1)
        assert pressed.deferred
    inbound = home.core.heard[0]
    assert (inbound.press, inbound.on, inbound.text) == ("stop:r1", MessageId(str(shown.id)), "")


async def test_a_button_under_a_long_message_names_all_of_it(home: Home) -> None:
    text = "\n\n".join(f"paragraph {number} " + "word " * 60 for number in range(14))
    async with home.living() as chat:
        message = await chat.post(home.where, Message(text=text, buttons=(Button("Stop", "stop:1"),)), key="k")
        await press_last(home)
    async with home.living():
        await press_last(home)
        await home.core.hears(2)
    assert len(message.split(",")) == 3
    assert [inbound.on for inbound in home.core.heard] == [message, message]


async def press_last(home: Home) -> None:
    before = len(home.core.heard)
    await home.api.person(None, "Ann").presses(home.api.messages(home.channel)[-1], "Stop")
    await home.core.hears(before + 1)


async def test_an_interaction_that_makes_no_sense_is_set_aside(home: Home) -> None:
    async with home.living() as chat:
        ann = await synced(home)
        for kind in (1, 99):
            home.api.town.begin(await strange(home, ann), {"kind": kind})
        await (await ann._begin(2, home.channel, {"name": "launch", "options": [{"type": 3}]}).first()).first()
        await (await ann.slash(home.channel, "help")).finished()
        assert home.core.texts == ["/help"]
        assert chat.pulse().aside >= 1


async def strange(home: Home, ann: Person) -> Interaction:
    return ann._begin(99, home.channel, {"name": "launch"})


async def test_a_button_that_is_not_ours_does_nothing(home: Home) -> None:
    async with home.living() as chat:
        shown = await button(home, chat)
        ann = home.api.person(None, "Ann")
        for custom_id in ("approve:all", "armystop:r1", ""):
            pressed = await ann.clicks_stale(shown, custom_id)
            await pressed.until(lambda one: one.followups)
            assert pressed.followups[0].ephemeral_for == ann.id
    assert home.core.heard == []


async def test_everything_is_answered_while_the_core_is_busy(home: Home) -> None:
    async with home.living() as chat:
        ann = await synced(home)
        shown = await button(home, chat)
        home.core.gate.clear()
        answers = await asyncio.gather(
            *(ann.presses(shown, "Stop") for _ in range(20)), *(ann.slash(home.channel, "stop") for _ in range(20))
        )
        assert all(map(is_prompt, answers))
        home.core.gate.set()
        await home.core.hears(40)


async def test_an_answer_that_is_lost_is_given_again_in_time(home: Home) -> None:
    for fault in (Fault.cut(), Fault.cut_after(), Fault.broken(502)):
        home.api.fail("POST /interactions/{}/{}/callback", fault)
        async with home.living() as chat:
            await ok(home, await home.api.person(None, "Ann").presses(await button(home, chat), "Stop"))
    assert len(home.core.heard) == 3


async def ok(home: Home, pressed: Interaction) -> None:
    assert is_prompt(pressed, within=3)
    before = len(home.core.heard)
    await asyncio.sleep(5)
    assert len(home.core.heard) in {before, before + 1}


async def test_somebody_who_was_told_that_nobody_answered_is_believed(home: Home) -> None:
    async with home.living() as chat:
        shown = await button(home, chat)
        home.api.fail("POST /interactions/{}/{}/callback", Fault.refused(10062))
        await home.api.person(None, "Ann").presses(shown, "Stop")
        await asyncio.sleep(5)
    assert home.core.heard == [], "they will press again"


@pytest.mark.parametrize("known", [True, False], ids=["who may", "a stranger"])
async def test_a_file_comes_with_a_launch(home: Home, *, known: bool) -> None:
    data = b"x" * 700_000
    async with home.living():
        ann = await synced(home)
        if not known:
            home.strangers.add(str(ann.id))
        kept = await ann.says(home.channel, "the file is kept here", attachments=[("notes.txt", data)])
        file = kept.attachments[0]
        command = home.api.command("launch")
        assert command is not None
        given = [
            {"name": "task", "type": 3, "value": "read it"},
            {"name": "file", "type": 11, "value": str(file.id)},
        ]
        resolved = {"attachments": {str(file.id): shown(home, kept, file)}}
        packet = {"id": command["id"], "name": "launch", "type": 1, "options": given, "resolved": resolved}
        done = await ann._begin(2, home.channel, packet).first()
        await done.finished()
    inbound = home.core.heard[0]
    assert inbound.text == "/launch read it"
    if not known:
        assert (inbound.files, home.artifacts.files) == ((), {})
        return
    assert [(one.name, one.size) for one in inbound.files] == [("notes.txt", len(data))]
    assert home.artifacts.files[inbound.files[0].artifact] == data


def shown(home: Home, message: Shown, file: Attachment) -> object:
    attachments: list[dict[str, object]] = home.api.town.shown(message)["attachments"]
    return next(one for one in attachments if one["id"] == str(file.id))


async def test_a_stranger_gets_no_form(home: Home) -> None:
    async with home.living():
        ann = await synced(home)
        home.strangers.add(str(ann.id))
        home.core.deaf = Refused("You are not on this bot's list.")
        done = await ann.slash(home.channel, "launch")
        await done.finished()
    assert not done.modal
    assert "not on this bot's list" in done.content


async def test_a_press_does_not_look_through_all_notes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async with home.living() as chat:
        ann, shown = await synced(home), await button(home, chat)
        looks: list[str] = []
        scan = home.notes.scan

        async def counted(prefix: str = "", *, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
            looks.append(prefix)
            return await scan(prefix, after=after, limit=limit)

        monkeypatch.setattr(home.notes, "scan", counted)
        home.strangers.add(str(ann.id))
        await ann.presses(shown, "Stop")
        await home.core.hears(1)
        assert "sent/" not in looks, "and not at all for a stranger"
        home.strangers.clear()
        for count in (2, 3, 4):
            await ann.presses(shown, "Stop")
            await home.core.hears(count)
    assert 0 < looks.count("sent/") <= 2


async def test_more_at_once_than_can_be_answered_is_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.discord.chat.MOST_INTERACTIONS", 0)
    async with home.living() as chat:
        ann, shown = await synced(home), await button(home, chat)
        await ann.presses(shown, "Stop")
        assert chat.pulse().aside == 1
