"""What the platform's description does not allow is answered 400 and fails whoever leaves the server."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from telegram.error import BadRequest

from tests.botapi import BotApi, schema
from tests.botapi.client import client

HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("sendMessage", {"chat_id": 7, "text": "x", "silent": True}, "silent is no field"),
    ("sendMessage", {"chat_id": 7}, "text: Field required"),
    ("sendMessage", {"chat_id": 7, "text": 5}, "text: Input should be a valid string"),
    ("sendMessage", {"chat_id": 7, "text": "x", "message_thread_id": "main"}, "message_thread_id: Input should be"),
    (
        "sendMessage",
        {"chat_id": 7, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "a", "data": "b"}]]}},
        r"reply_markup.inline_keyboard.0.0.data is no field",
    ),
    ("sendMessage", {"chat_id": 7, "text": "x", "entities": [{"type": "bold", "offset": "0", "length": 1}]}, "offset"),
    ("sendRichMessage", {"chat_id": 7, "rich_message": {"text": "x"}}, r"rich_message.text is no field"),
    ("sendPigeon", {"chat_id": 7}, "no such method"),
    ("sendDice", {"chat_id": 7}, "this server does not"),
]


@pytest.mark.parametrize(("method", "params", "words"), HOSTILE)
async def test_a_planted_mistake_is_caught(method: str, params: dict[str, Any], words: str) -> None:
    async def story() -> None:
        async with BotApi() as api, aiohttp.ClientSession() as net:
            api.private(api.person(7, "Ann"))
            async with net.post(f"{api.url}/bot{api.token}/{method}", json=params) as answer:
                assert answer.status in {400, 404}
                assert (await answer.json())["ok"] is False
            assert api.messages(7) == []
            assert len(api.violations) == 1

    with pytest.raises(AssertionError, match=words):
        await story()


async def test_a_field_that_the_client_was_made_to_send_is_caught() -> None:
    async def story() -> None:
        async with BotApi() as api, client(api) as bot:
            api.private(api.person(7, "Ann"))
            with pytest.raises(BadRequest, match="is no field"):
                await bot.send_message(7, "x", api_kwargs={"colour": "red"})

    with pytest.raises(AssertionError, match="colour is no field that the platform knows"):
        await story()


async def test_what_went_wrong_inside_is_not_hidden_by_a_violation() -> None:
    async def story() -> None:
        async with BotApi() as api:
            api.world.wrong(["something"])
            raise LookupError("the test's own")

    with pytest.raises(LookupError, match="the test's own"):
        await story()


def test_an_answer_is_judged_as_well() -> None:
    sent = {"message_id": 1, "date": 0, "chat": {"id": 7, "type": "private"}}
    described = schema.methods()["sendmessage"]
    assert schema.answer_faults(described, sent) == []
    assert schema.answer_faults(described, sent | {"colour": "red"})
    assert schema.answer_faults(described, {"message_id": 1})


@pytest.mark.parametrize("way", ["query", "form", "json", "multipart"])
async def test_requests_come_in_all_the_forms(way: str) -> None:
    async with BotApi() as api, aiohttp.ClientSession() as net:
        api.private(api.person(7, "Ann"))
        url = f"{api.url}/bot{api.token}/SENDMESSAGE"
        fields = {"chat_id": "7", "text": "[1, 2]", "disable_notification": "true"}
        multipart = aiohttp.FormData(fields, default_to_multipart=True)
        sending = {
            "query": lambda: net.get(url, params=fields),
            "form": lambda: net.post(url, data=fields),
            "json": lambda: net.post(url, json={"chat_id": 7, "text": "[1, 2]", "disable_notification": True}),
            "multipart": lambda: net.post(url, data=multipart),
        }
        async with sending[way]() as answer:
            assert answer.status == 200, await answer.text()
        (standing,) = api.messages(7)
        assert (standing.text, standing.silent) == ("[1, 2]", True)


def test_every_method_of_the_server_is_one_of_the_platform() -> None:
    from tests.botapi.server import METHODS  # noqa: PLC0415 - it is asked for here only

    assert METHODS.keys() <= schema.methods().keys()
    assert len(schema.methods()) > 150
