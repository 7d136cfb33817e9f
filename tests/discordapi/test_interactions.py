"""Commands, buttons, menus and modals: the real client answers, and people see how and when."""

from __future__ import annotations

import asyncio

import discord
import pytest
from discord import app_commands

from tests.discordapi import Discord
from tests.discordapi.client import TOKEN, Listener, running

pytestmark = pytest.mark.looptime


async def _launch(client: Listener, api: Discord) -> list[discord.Interaction]:
    """Sync a /launch that defers, works five seconds and answers."""
    guild = discord.Object(api.guild.id)
    seen: list[discord.Interaction] = []

    @client.tree.command(name="launch", description="start an agent", guild=guild)
    async def launch(interaction: discord.Interaction, task: str, agent: str = "rex") -> None:
        seen.append(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        await asyncio.sleep(5)
        await interaction.followup.send(f"{agent}: {task}")

    @launch.autocomplete("agent")
    async def agents(_: discord.Interaction, partial: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=n.title(), value=n) for n in ("rex", "max") if n.startswith(partial)]

    assert isinstance(agents, object)
    await client.tree.sync(guild=guild)
    return seen


async def test_a_command_is_deferred_and_answered() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann", roles=["crew"])
        async with running(api) as client:
            seen = await _launch(client, api)
            it = await ann.slash(room, "launch", task="fix it", agent="max")
            assert (it.deferred, it.ephemeral, it.loading, it.content) == (True, True, True, "")
            assert it.took is not None
            assert it.took < 0.1
            await it.finished()
            assert it.content == "max: fix it"
            assert await ann.types(room, "launch", "agent", "r", task="x") == [("Rex", "rex")]
            assert isinstance(seen[0].user, discord.Member)
            assert seen[0].user.id == ann.id
            assert seen[0].permissions.send_messages
        assert api.messages(room) == []


async def test_a_client_shows_only_what_is_synced() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            await _launch(client, api)
            for attempt in (
                ann.slash(room, "lunch"),
                ann.slash(room, "launch"),
                ann.slash(room, "launch", task=3),
                ann.slash(room, "launch", task="x", more="y"),
            ):
                with pytest.raises(AssertionError):
                    await attempt


async def test_three_seconds_and_the_token_is_dead() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            message = await client.room(room.id).send("?", view=_buttons("go"))

            async def late(interaction: discord.Interaction) -> None:
                await asyncio.sleep(3.5)
                await interaction.response.send_message("too late")

            client.answering = late
            it = await ann.presses(api.messages(room)[0], "go")
            assert it.failed
            assert not it.answered
            await asyncio.sleep(1)
            (wrong,) = client.failed
            assert isinstance(wrong, discord.NotFound)
            assert wrong.code == 10062
            assert message.id == api.messages(room)[0].id


async def test_the_first_answer_is_given_once_and_edited_for_fifteen_minutes() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            kept: list[discord.Interaction] = []

            async def answer(interaction: discord.Interaction) -> None:
                kept.append(interaction)
                await interaction.response.send_message("first")

            client.answering = answer
            await client.room(room.id).send("?", view=_buttons("go"))
            it = await ann.presses(api.messages(room)[0], "go")
            assert it.content == "first"
            again = client.http.request(
                discord.http.Route(
                    "POST", "/interactions/{i}/{webhook_token}/callback", i=it.id, webhook_token=it.token
                ),
                json={"type": 4, "data": {"content": "second"}},
            )
            with pytest.raises(discord.HTTPException) as twice:
                await again
            assert twice.value.code == 40060
            await kept[0].edit_original_response(content="second")
            more = await kept[0].followup.send("more", wait=True)
            await kept[0].followup.delete_message(more.id)
            await asyncio.sleep(901)
            with pytest.raises(discord.HTTPException) as dead:
                await kept[0].edit_original_response(content="third")
            assert (dead.value.status, dead.value.code) == (401, 50027)
        assert [m.text for m in api.messages(room)] == ["?", "second"]
        assert it.content == "second"


async def test_a_button_updates_its_message_and_a_menu_brings_values() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            chosen: list[object] = []

            async def answer(interaction: discord.Interaction) -> None:
                chosen.append(dict(interaction.data or {}).get("values"))
                await interaction.response.edit_message(content="done", view=None)

            client.answering = answer
            view = _buttons("go")
            options = [discord.SelectOption(label="A", value="a"), discord.SelectOption(label="B", value="b")]
            view.add_item(discord.ui.Select(custom_id="which", options=options))
            await client.room(room.id).send("?", view=view)
            (message,) = api.messages(room)
            it = await ann.picks(message, "which", "B")
            assert chosen == [["b"]]
            assert it.content == message.text == "done"
            assert message.buttons == []
            with pytest.raises(AssertionError):
                await ann.presses(message, "go")
            stale = await ann.clicks_stale(message, "go")
            assert stale.answered


async def test_a_modal_is_opened_filled_in_and_sent() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")

        class Form(discord.ui.Modal, title="Launch"):
            task: discord.ui.Label[Form] = discord.ui.Label(
                text="Task", component=discord.ui.TextInput(custom_id="task", max_length=20)
            )
            files: discord.ui.Label[Form] = discord.ui.Label(
                text="Files", component=discord.ui.FileUpload(custom_id="files", required=False)
            )
            agent: discord.ui.Label[Form] = discord.ui.Label(
                text="Agent",
                component=discord.ui.Select(
                    custom_id="agent", options=[discord.SelectOption(label="Rex", value="rex")]
                ),
            )

            async def on_submit(self, interaction: discord.Interaction) -> None:
                assert isinstance(self.task.component, discord.ui.TextInput)
                assert isinstance(self.agent.component, discord.ui.Select)
                answer = f"{self.agent.component.values[0]}: {self.task.component.value}"
                await interaction.response.send_message(answer, ephemeral=True)

        async with running(api) as client:

            async def answer(interaction: discord.Interaction) -> None:
                if interaction.type is discord.InteractionType.component:
                    await interaction.response.send_modal(Form())

            client.answering = answer
            await client.room(room.id).send("?", view=_buttons("go"))
            it = await ann.presses(api.messages(room)[0], "go")
            assert it.modal is not None
            with pytest.raises(AssertionError, match="too long"):
                await ann.submits(it, task="x" * 21, agent="rex")
            sent = await ann.submits(it, task="fix", agent="rex")
            await sent.finished()
            assert (sent.content, sent.ephemeral) == ("rex: fix", True)


def _buttons(*labels: str) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for label in labels:
        view.add_item(discord.ui.Button(label=label, custom_id=label))
    view.stop()  # what is pressed is answered by the test
    return view
