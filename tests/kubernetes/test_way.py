"""What a network does to the bot's calls is said in a person's words, with who it was that did not answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import aiohttp
import pytest

from adapters.kubernetes.errors import as_trouble
from orchestrator.errors import Broken

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"


async def said_of(url: str) -> str:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
        with pytest.raises(Broken) as raised, as_trouble("to list the pods"):
            async with client.get(url) as response:
                await response.read()
    assert raised.value.unsure
    words = str(raised.value)
    assert words.startswith("The cluster's API cannot be reached to list the pods: ")
    return words.removeprefix("The cluster's API cannot be reached to list the pods: ")


@asynccontextmanager
async def one_that_says(text: bytes) -> AsyncIterator[int]:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert await said_of(f"https://127.0.0.1:{port}") == f"127.0.0.1:{port}: Connection refused."


async def test_an_answer_that_breaks_off() -> None:
    async with one_that_says(HALF) as port:
        assert await said_of(f"http://127.0.0.1:{port}") == "the connection broke off."


async def test_somebody_who_speaks_something_else() -> None:
    async with one_that_says(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert await said_of(f"http://127.0.0.1:{port}") == "what answers there does not speak HTTP."
