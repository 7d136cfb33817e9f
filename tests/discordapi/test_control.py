"""The control interface over HTTP, beside the real client, and the server as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
import discord
import pytest

from tests.discordapi import Discord
from tests.discordapi.client import TOKEN, running
from tests.discordapi.control import control


async def _ask(session: aiohttp.ClientSession, url: str, verb: str, **given: object) -> Any:
    async with session.post(f"{url}/control/{verb}", json=given) as response:
        answer = await response.json()
    assert response.status == 200, answer
    return answer["result"]


@pytest.mark.looptime
async def test_everything_can_be_driven_from_outside() -> None:
    async with Discord(token=TOKEN, also=control) as api, aiohttp.ClientSession() as session:

        async def ask(verb: str, **given: object) -> Any:
            return await _ask(session, api.url, verb, **given)

        room = (await ask("channel", name="agents"))["id"]
        assert (await ask("person", name="ann", number="7", roles=["crew"]))["id"] == "7"
        async with running(api) as client:

            async def answer(interaction: discord.Interaction) -> None:
                if interaction.type is discord.InteractionType.application_command:
                    await interaction.response.send_message("launched", view=_button())
                else:
                    await interaction.response.send_message("stopped", ephemeral=True)

            client.answering = answer
            command = {"name": "launch", "description": "d", "type": 1, "options": []}
            await client.http.bulk_upsert_guild_commands(client.application_id or 0, api.guild.id, [command])
            await ask("say", person="ann", channel=room, text="hello")
            launched = await ask("slash", person="ann", channel=room, command="launch")
            assert launched["content"] == "launched"
            stands = await ask("wait", channel=room, text="launched")
            pressed = await ask("press", person="ann", channel=room, message=stands["id"], button="Stop")
            assert (pressed["content"], pressed["ephemeral"]) == ("stopped", True)
            await ask("fail", fault="broken", status=503, route="POST")
            with pytest.raises(discord.DiscordServerError):
                await client.room(int(room)).send("x")
            await ask("lose", way="cut")
            await ask("say", person="bob", channel=room, text="after")
            await asyncio.sleep(5)
            assert client.words()[-1] == "after"
        assert [m["text"] for m in await ask("messages", channel=room)] == ["hello", "launched", "after"]
        state = await ask("state")
        assert (state["commands"], state["resumes"], state["violations"]) == (["launch"], 1, [])
        assert 503 in [call["status"] for call in await ask("calls")]
        async with session.post(f"{api.url}/control/dance", json={}) as response:
            assert response.status == 404


def _button() -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Stop", custom_id="stop"))
    view.stop()
    return view


@pytest.mark.slow
async def test_it_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.discordapi", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(90), aiohttp.ClientSession() as session:
            first = (await process.stdout.readline()).decode()
            url = first.split("=")[1].split("/api")[0]
            state = await _ask(session, url, "state")
        assert [c["name"] for c in state["channels"]] == ["general", "runs"]
    finally:
        process.terminate()
        await process.wait()
