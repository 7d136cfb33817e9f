"""What must not happen on Discord, each as a test that would see it. More of it stands beside what it is about."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from orchestrator.errors import Refused
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Button, Conversation, Inbound, Message, Person
from tests.discord_chat.stage import TOKEN, Home
from tests.discordapi import Permission
from tests.discordapi.people import Person as Somebody

pytestmark = pytest.mark.looptime


async def test_neither_the_token_nor_an_interaction_s_is_in_any_log_or_note(
    home: Home, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with home.living() as chat:
        await home.api.until(lambda: home.api.commands)
        ann = home.api.person(None, "Ann")
        shown = await chat.post(home.where, Message(text="x", buttons=(Button("Stop", "stop:1"),)), key="x")
        pressed = await ann.presses(home.api.world.message(home.channel, int(shown)), "Stop")
        home.core.deaf = Refused("Not you.")
        typed = await (await ann.slash(home.channel, "stop")).finished()
        home.api.send_raw_event("INTERACTION_CREATE", {"token": "t0ken-of-a-broken-one", "type": 3})
        home.api.sockets.cut()
        await asyncio.sleep(10)
    captured = capsys.readouterr()
    everything = caplog.text + captured.out + captured.err + repr(home.notes.texts)
    assert "logged in" in everything, "the log was looked at"
    for secret in (TOKEN, pressed.token, typed.token, "t0ken-of-a-broken-one"):
        assert secret not in everything


async def test_what_people_attached_is_fetched_without_the_token(home: Home) -> None:
    ann = home.api.person(None, "Ann")
    seen: list[str] = []
    target = ""

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.decode())
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(look, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        said = await ann.says(home.thread(where), "x", attachments=[("a.txt", b"alpha")])
        await home.core.hears(1)
        again = home.api.town.shown(said) | {"id": str(home.api.clock.snowflake()), "guild_id": str(home.api.guild.id)}
        target = again["attachments"][0]["url"]
        again["attachments"][0]["url"] = f"http://127.0.0.1:{port}/a.txt"
        home.api.send_raw_event("MESSAGE_CREATE", again)
        await home.core.hears(2)
    assert seen
    assert all(TOKEN not in head and "Authorization" not in head for head in seen)
    assert home.core.heard[1].files == (), "and where it leads elsewhere nobody follows"


@pytest.mark.parametrize("kind", ["elsewhere", "private"])
async def test_nothing_is_taken_from_another_server_or_in_private(home: Home, kind: str) -> None:
    async with home.living() as chat:
        await home.api.until(lambda: home.api.commands)
        shown = await chat.post(home.where, Message(text="x", buttons=(Button("Stop", "stop:1"),)), key="x")
        foreign = home.api.world.found("elsewhere")
        who = Somebody(home.api, home.api.world.users[foreign.owner])
        hall = home.api.town.new_channel(foreign, "hall", kind=0)
        place = hall if kind == "elsewhere" else home.api.world.private_with(who.user)
        typed = await (await who.slash(place, "launch", agent="claude", task="evil")).finished()
        assert typed.message is not None
        assert typed.message.ephemeral_for == who.id
        assert "not at home here" in typed.content
        assert await who.types(place, "launch", "agent", "cl") == []
        source = home.api.world.message(home.channel, int(shown))
        data = {"component_type": 2, "custom_id": source.buttons[0].custom_id}
        pressed = await who._begin(3, place, data, source=source).first()
        await pressed.until(lambda one: one.followups)
        assert "not at home here" in pressed.followups[0].text
    assert home.core.heard == []
    assert home.core.asked == []


async def test_roles_and_places_reach_the_gate_as_ids(home: Home) -> None:
    """The core's own gate, over what this adapter makes of people: names decide nothing."""
    ann = home.api.person(None, "Ann", roles=["crew"])
    home.api.person(None, "crew")
    mallory = home.api.person(None, "Ann", roles=["Crew"])
    crew = next(role.id for role in home.api.guild.roles.values() if role.name == "crew")
    gate = Gate({"discord": Rule(roles=frozenset({str(crew)}), servers=frozenset({str(home.api.guild.id)}))})
    let_in: list[Inbound] = []

    async def receive(inbound: Inbound) -> None:
        gate.check(inbound.person, inbound.where)
        let_in.append(inbound)

    home.core.receive = receive  # type: ignore[method-assign]
    async with home.living():
        await home.api.until(lambda: home.api.commands)
        for who in (mallory, ann, home.api.owner):
            await (await who.slash(home.channel, "stop")).finished()
            await who.says(home.channel, f"<@{home.api.world.me.id}> hello")
        await asyncio.sleep(5)
    assert [(inbound.person.id, inbound.text) for inbound in let_in] == [(str(ann.id), "/stop"), (str(ann.id), "hello")]


async def test_a_role_is_read_anew_for_what_was_said_while_nobody_listened(home: Home) -> None:
    """Messages of the past come without roles: one taken away since counts as taken away."""
    ann = home.api.person(None, "Ann", roles=["crew"], permissions=int(Permission.MANAGE_GUILD))
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        await ann.says(home.thread(where), "one")
        await home.core.hears(1)
    await ann.says(home.thread(where), "two")
    async with home.living():
        await home.core.hears(2)
    assert home.core.heard[0].person == home.core.heard[1].person
    await ann.says(home.thread(where), "three")
    home.api.guild.members[ann.id].roles.clear()
    async with home.living():
        await home.core.hears(3)
    assert home.core.heard[2].person == Person("discord", str(ann.id), "Ann", ())


async def test_commands_are_never_given_to_strangers_servers(home: Home) -> None:
    home.api.world.found("elsewhere")
    async with home.living():
        await home.api.until(lambda: home.api.commands)
    assert set(home.api.commands) == {str(home.api.guild.id)}


async def test_no_payload_speaks_without_saying_whom_it_may_mention(home: Home) -> None:
    ann = home.api.person(None, "Ann")
    hostile = f"@everyone <@{ann.id}>"
    async with home.living() as chat:
        await home.api.until(lambda: home.api.commands)
        forum = home.of(home.api.forum())
        await chat.open(forum, hostile, key="post")
        shown = await chat.post(home.where, Message(text=hostile, buttons=(Button("Stop", "stop:1"),)), key="x")
        await chat.edit(home.where, shown, Message(text=hostile + "!", buttons=(Button("Stop", "stop:1"),)))
        home.core.deaf = Refused(hostile)
        await (await ann.slash(home.channel, "stop")).finished()
        pressed = await ann.presses(home.api.world.message(home.channel, int(shown)), "Stop")
        await pressed.until(lambda one: one.followups)
        await ann.says(home.channel, f"<@{home.api.world.me.id}> hello")
        await ann.says(None, "hello")
        await asyncio.sleep(5)
    spoken = [call for call in home.api.calls if isinstance(call.body, dict) and _content(call.body)]
    assert len(spoken) == 7
    for call in spoken:
        body = call.body.get("message", call.body)
        assert body["allowed_mentions"]["parse"] == [], (call.route, json.dumps(body))
        assert not body["allowed_mentions"].get("replied_user")
    assert [one.pings for one in home.api.every_message() if one.author is home.api.world.me and one.pings] == []


def _content(body: dict[str, object]) -> object:
    message = body.get("message", body)
    assert isinstance(message, dict)
    return message.get("content")


async def test_where_it_was_said_is_named_by_server_and_channel(home: Home) -> None:
    async with home.living():
        await home.api.until(lambda: home.api.commands)
        await (await home.api.owner.slash(home.channel, "help")).finished()
    assert home.core.heard[0].where == Conversation("discord", f"{home.api.guild.id}/{home.channel.id}")
