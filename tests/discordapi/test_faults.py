"""Faults on demand through the real client, and requests that the platform's description does not allow."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import pytest

from tests.discordapi import Discord, Fault
from tests.discordapi.client import TOKEN, running
from tests.discordapi.limits import shape
from tests.discordapi.schema import violations

pytestmark = pytest.mark.looptime

SEND = "POST /channels/{channel_id}/messages"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.broken(503), discord.DiscordServerError),
        (Fault.banned(), discord.HTTPException),
        (Fault.unauthorised(), discord.HTTPException),
        (Fault.refused(10003), discord.NotFound),
        (Fault.cut(), aiohttp.ClientError),
    ],
)
async def test_a_fault_fails_one_request_and_nothing_was_done(fault: Fault, expected: type[Exception]) -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            api.fail(SEND, fault)
            with pytest.raises(expected):
                await client.room(room.id).send("lost")
            await client.room(room.id).send("kept")
        assert [m.text for m in api.messages(room)] == ["kept"]


@pytest.mark.parametrize("status", [500, 502])
async def test_the_client_tries_a_servers_error_again(status: int) -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            api.fail(SEND, Fault.broken(status), times=2)
            await client.room(room.id).send("third time")
        assert [m.text for m in api.messages(room)] == ["third time"]
        assert [c.status for c in api.calls if c.route == SEND] == [status, status, 200]


@pytest.mark.parametrize("fault", [Fault.cut_after(), Fault.garbled()])
async def test_the_work_is_done_and_the_answer_is_lost(fault: Fault) -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            api.fail(SEND, fault, channel=room)
            with pytest.raises((aiohttp.ClientError, ValueError)):
                await client.room(room.id).send("done", nonce="n")
            again = await client.room(room.id).send("done", nonce="n")
        (stands,) = api.messages(room)
        assert stands.id == again.id


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_patience_is_asked_for_and_kept(scope: str) -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            api.fail(SEND, Fault.busy(7, scope=scope))
            began = asyncio.get_running_loop().time()
            await client.room(room.id).send("late")
            assert asyncio.get_running_loop().time() - began == pytest.approx(7, abs=0.1)
        assert (api.told_to_wait, api.into_penalty) == (1, 0)


async def test_a_ban_comes_from_the_edge_and_a_limit_from_the_platform() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            via = []
            for fault in (Fault.banned(), Fault.refused(50013)):
                api.fail(SEND, fault)
                with pytest.raises(discord.HTTPException) as refused:
                    await client.room(room.id).send("x")
                via.append("Via" in refused.value.response.headers)
        assert via == [False, True]


async def test_a_hung_request_ends_with_whoever_waits_for_it() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            api.fail(SEND, Fault.hang())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20):
                    await client.room(room.id).send("never")
        assert api.messages(room) == []


async def test_a_fault_may_be_meant_for_one_channel_or_for_any_request() -> None:
    async with Discord(token=TOKEN) as api:
        room, other = api.text_channel(), api.text_channel("other")
        async with running(api) as client:
            api.fail("any", Fault.broken(503), channel=other)
            await client.room(room.id).send("here")
            with pytest.raises(discord.DiscordServerError):
                await client.room(other.id).send("there")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"content": "x", "colour": 1}, "body.colour: unknown field"),
        ({"content": 5}, "body.content: 5: "),
        ({"content": "x", "components": [{"type": 1}]}, "body.components[0].components: missing field"),
        ({"components": [{"type": 1, "components": [{"type": 2, "style": 1, "lable": "x"}]}]}, "lable: unknown field"),
        ({"components": [{"type": 99}]}, "body.components[0]: {'type': 99} is of no kind allowed here"),
        ({"content": "x", "allowed_mentions": {"pars": []}}, "body.allowed_mentions.pars: unknown field"),
    ],
)
async def test_a_planted_violation_is_caught(body: dict[str, object], sentence: str) -> None:
    with pytest.raises(AssertionError) as caught:
        await _asked("POST", "/channels/{channel_id}/messages", body)
    assert sentence in str(caught.value)
    assert SEND in str(caught.value)


async def test_a_path_that_is_not_there_is_a_violation() -> None:
    with pytest.raises(AssertionError, match="does not have GET"):
        await _asked("GET", "/nowhere", None)


async def test_an_unknown_query_is_a_violation() -> None:
    with pytest.raises(AssertionError, match=r"query\.fast: unknown parameter"):
        await _asked("GET", "/channels/{channel_id}/messages?fast=1", None)


async def _asked(method: str, path: str, body: dict[str, object] | None) -> None:
    """Let the real client ask for what is wrong; it is refused, and nothing stands."""
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            route = discord.http.Route(method, path, channel_id=room.id)
            with pytest.raises(discord.HTTPException) as refused:
                await (client.http.request(route, json=body) if body else client.http.request(route))
        assert (refused.value.status, refused.value.code) in {(400, 50035), (404, 0)}
        assert api.messages(room) == []


def test_what_is_right_passes() -> None:
    button = {"type": 2, "style": 1, "label": "x", "custom_id": "x", "id": 4}
    assert violations("MessageCreateRequest", {"content": "x", "nonce": "1", "enforce_nonce": True}) == []
    assert violations("MessageCreateRequest", {"components": [{"type": 1, "components": [button]}]}) == []
    assert violations("MessageEditRequestPartial", {"content": None, "embeds": []}) == []


def test_parameters_may_be_named_as_one_likes() -> None:
    assert shape("PATCH /channels/{channel_id}/messages/{m}") == "PATCH /channels/{}/messages/{}"
