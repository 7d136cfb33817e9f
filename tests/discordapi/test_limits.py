"""Buckets, ages and sizes, seen through the real client and its own waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import discord
import pytest

from tests.discordapi import Discord, Fault
from tests.discordapi.client import TOKEN, running

pytestmark = pytest.mark.looptime

Button = discord.ui.Button[discord.ui.View]
Sending = Callable[[discord.TextChannel], Awaitable[object]]


async def test_twelve_edits_take_ten_seconds_and_no_429() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            one = await client.room(room.id).send("a")
            two = await client.room(room.id).send("b")
            began = asyncio.get_running_loop().time()
            for n in range(12):
                await (one if n % 2 else two).edit(content=str(n))
            took = asyncio.get_running_loop().time() - began
        assert took == pytest.approx(10.0, abs=0.1)
        assert api.told_to_wait == 0


async def test_channels_do_not_share_a_bucket() -> None:
    async with Discord(token=TOKEN) as api:
        rooms = [api.text_channel(str(n)) for n in range(3)]
        async with running(api) as client:
            began = asyncio.get_running_loop().time()
            for room in rooms:
                for n in range(4):
                    await client.room(room.id).send(str(n))
            assert asyncio.get_running_loop().time() - began < 0.1
        assert api.told_to_wait == 0


async def test_too_many_at_once_are_told_to_wait_and_early_ones_are_noticed() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            client.http._buckets.clear()
            url = f"{api.rest}/channels/{room.id}/messages"
            session = client.http._HTTPClient__session  # type: ignore[attr-defined] # the client's own session
            head = {"Authorization": f"Bot {TOKEN}"}
            answers = []
            for n in range(7):
                async with session.post(url, json={"content": str(n)}, headers=head) as response:
                    answers.append((response.status, await response.json(), response.headers))
        assert [status for status, _, _ in answers] == [200] * 5 + [429] * 2
        _, body, headers = answers[-1]
        assert body == {"message": "You are being rate limited.", "retry_after": 5.0, "global": False}
        assert headers["Via"]
        assert (headers["X-RateLimit-Scope"], headers["X-RateLimit-Remaining"]) == ("user", "0")
        assert (api.told_to_wait, api.into_penalty) == (2, 1)


async def test_the_budget_for_all_is_told_as_global() -> None:
    async with Discord(token=TOKEN) as api:
        rooms = [api.text_channel(str(n)) for n in range(30)]
        async with running(api) as client:
            began = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as tasks:
                for room in rooms:
                    for n in range(2):
                        tasks.create_task(client.room(room.id).send(str(n)))
            took = asyncio.get_running_loop().time() - began
        assert 0.9 < took < 2.5
        assert api.told_to_wait > 0
        assert all(len(api.messages(room)) == 2 for room in rooms)


async def test_interactions_are_outside_the_budget_for_all() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        api.limits.everything.limit = 5
        async with running(api) as client:

            async def answer(interaction: discord.Interaction) -> None:
                await interaction.response.defer()

            client.answering = answer
            await asyncio.sleep(1)
            view = _view(Button(label="x", custom_id="x"))
            view.stop()
            await client.room(room.id).send("?", view=view)
            async with asyncio.TaskGroup() as tasks:
                pressed = [tasks.create_task(ann.presses(api.messages(room)[0], "x")) for _ in range(20)]
        assert all(one.result().answered for one in pressed)
        assert api.told_to_wait == 0


async def test_a_banned_address_would_be_counted() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            for fault in (Fault.unauthorised(), Fault.refused(50013), Fault.banned(), Fault.broken(503)):
                api.fail("POST", fault)
                with pytest.raises(discord.HTTPException):
                    await client.room(room.id).send("x")
            api.fail("POST", Fault.busy(1, scope="shared"))
            await client.room(room.id).send("x")
        assert api.invalid_requests == 3


async def test_edits_of_an_old_message_have_their_own_small_limit() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            with api.clock.behind(3700):
                old = await client.room(room.id).send("old")
            age = discord.utils.utcnow() - old.created_at
            assert 3690 < age.total_seconds() < 3710
            for n in range(3):
                await old.edit(content=str(n))
            async with asyncio.timeout(10):
                fourth = asyncio.create_task(old.edit(content="3"))
                await api.until(lambda: api.told_to_wait)
            await fourth
        assert 30046 in [call.code for call in api.calls]
        (stands,) = api.messages(room)
        assert stands.text == "3"


@asynccontextmanager
async def written(*, old_edits: int) -> AsyncIterator[tuple[Discord, discord.Message]]:
    """A client's message, where an old one may be edited so many times in twenty seconds."""
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        api.limits.old_edits = (old_edits, 20.0)
        async with running(api) as client:
            yield api, await client.room(room.id).send("new")


async def test_an_age_can_be_for_the_server_alone() -> None:
    async with written(old_edits=1) as (api, sent):
        api.age(api.messages(sent.channel.id)[0], 3601)
        await sent.edit(content="1")
        began = asyncio.get_running_loop().time()
        await sent.edit(content="2")
        assert asyncio.get_running_loop().time() - began == pytest.approx(20.0, abs=0.1)


async def test_a_message_grows_old_as_the_loops_time_goes_by() -> None:
    async with written(old_edits=0) as (_, sent):
        await asyncio.sleep(3590)
        await sent.edit(content="1")
        await asyncio.sleep(20)
        with pytest.raises(discord.HTTPException) as refused:
            await sent.edit(content="2")
    assert (refused.value.status, refused.value.code) == (429, 30046)


def _view(*buttons: Button) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view


def _layout(*texts: str) -> discord.ui.LayoutView:
    view = discord.ui.LayoutView(timeout=None)
    for text in texts:
        view.add_item(discord.ui.TextDisplay(text))
    return view


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        (lambda r: r.send("x" * 2000), lambda r: r.send("x" * 2001)),
        (lambda r: r.send(view=_layout("x" * 4000)), lambda r: r.send(view=_layout("x" * 2000, "x" * 2001))),
        (
            lambda r: r.send(embeds=[discord.Embed(description="x" * 3000)] * 2),
            lambda r: r.send(embeds=[discord.Embed(description="x" * 3000)] * 2 + [discord.Embed(title="x")]),
        ),
        (
            lambda r: r.create_thread(name="x" * 100, type=discord.ChannelType.public_thread),
            lambda r: r.create_thread(name="x" * 101, type=discord.ChannelType.public_thread),
        ),
        (
            lambda r: r.send("x", view=_view(Button(label="x" * 80, custom_id="a"))),
            lambda r: r.send("x", view=_view(Button(label="x" * 81, custom_id="a"))),
        ),
        (lambda r: r.send("x"), lambda r: r.send("")),
    ],
)
async def test_one_more_than_fits_is_refused(fits: Sending, too_much: Sending) -> None:
    async with Discord(token=TOKEN, lenient=True) as api:
        room = api.text_channel()
        async with running(api) as client:
            await fits(client.room(room.id))
            with pytest.raises(discord.HTTPException) as refused:
                await too_much(client.room(room.id))
        assert refused.value.status == 400
        assert refused.value.code in {50035, 50006}


async def test_two_hundred_new_commands_a_day() -> None:
    async with Discord(token=TOKEN) as api:
        async with running(api) as client:
            for day in range(3):
                bodies = [{"name": f"c{day}x{n}", "description": "d", "type": 1} for n in range(90)]
                await client.http.bulk_upsert_guild_commands(
                    client.application_id or 0, api.guild.id, bodies[: 90 if day < 2 else 20]
                )
            fits = [{"name": f"c2x{n}", "description": "changed", "type": 1} for n in range(20)]
            await client.http.bulk_upsert_guild_commands(client.application_id or 0, api.guild.id, fits)
            client.http.max_ratelimit_timeout = 30
            more = [*fits, {"name": "one-more", "description": "d", "type": 1}]
            with pytest.raises(discord.RateLimited):
                await client.http.bulk_upsert_guild_commands(client.application_id or 0, api.guild.id, more)
        assert len(api.command_names) == 20
