"""Plays a platform and its people, in one process: `python -m tests.bench.platforms telegram|discord`.

So that what the platform costs is not in the bot's figures. It keeps the platform's limits as in the tests. It first
prints where it is; then it is told what to do by JSON lines on stdin and answers each with one on stdout. All times are
of the monotonic clock, which processes share.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tests import botapi, discordapi
from tests.botapi import BotApi
from tests.discordapi import Discord

TOKEN = "MTA0.secret-of-the-bot.x_Y-z"
STAMP = re.compile(r"T(\d{8,})T")
FIRST = 1000
"""The id of the first person on Telegram; the others follow."""

CHATS = 40
"""Private chats, with topics in them that share a budget."""

CHANNELS = 5
"""Channels of a server; each takes fifty threads in five minutes."""


class Platform(Protocol):
    """A platform with its people. Numbers count launches: each opens a thread of its own."""

    def about(self) -> Mapping[str, object]:
        """What the bot is to be set to."""
        ...

    async def launch(self, number: int) -> None:
        """Somebody asks for a run."""
        ...

    async def say(self, number: int) -> None:
        """Somebody says something in the thread of a run."""
        ...

    async def command(self, number: int) -> None:
        """Somebody does what is answered apart from all messages."""
        ...

    def threads(self) -> int:
        """Threads of runs that there are."""
        ...

    def requests(self) -> int:
        """Requests that came."""
        ...

    def delays(self) -> Mapping[str, list[float]]:
        """Seconds from what people did to the first that was seen of it, by what it was; then they are forgotten."""
        ...

    def looks(self) -> Iterable[tuple[float, str]]:
        """When each edit or draft of a page came, and what it said."""
        ...

    def waits(self) -> int:
        """How often the bot was told to wait."""
        ...

    def wrongs(self) -> list[str]:
        """What the platform would not have."""
        ...


class Telegram:
    """People in private chats with topics, some runs in each."""

    def __init__(self, api: BotApi) -> None:
        self._api = api
        self._said: dict[tuple[int, int], float] = {}
        self._taps: list[tuple[float, str]] = []

    def about(self) -> Mapping[str, object]:
        people = [str(FIRST + number) for number in range(CHATS)]
        return {"token": self._api.token, "url": self._api.url, "people": people}

    async def launch(self, number: int) -> None:
        person = self._api.person(FIRST + number % CHATS, "Ann")
        await person.says(self._api.private(person), f"/launch played {title(number)}")

    async def say(self, number: int) -> None:
        home, topic = self._thread(number)
        began = self._api.world.clock()
        said = await self._api.person(home.id, "Ann").says(home, "And please look at the other test.", thread=topic)
        self._said[home.id, said.id] = began

    async def command(self, number: int) -> None:
        home, topic = self._thread(number)
        page = next(m for m in self._api.messages(home.id, topic) if m.buttons)
        began = self._api.world.clock()
        query = await self._api.person(home.id, "Ann").press(page, "Interrupt")
        self._taps.append((began, query.id))

    def _thread(self, number: int) -> tuple[botapi.Chat, int]:
        home = self._api.world.chats[FIRST + number % CHATS]
        return home, next(id_ for id_, topic in home.topics.items() if topic.name == title(number))

    def threads(self) -> int:
        return sum(len(chat.topics) for chat in self._api.world.chats.values())

    def requests(self) -> int:
        return sum(call.method != "getUpdates" for call in self._api.calls)

    def delays(self) -> Mapping[str, list[float]]:
        marks = {mark: call.at for call in reversed(self._api.called("setMessageReaction"))
                 if call.chat and (mark := (call.chat, int(str(call.params["message_id"]))))}  # fmt: skip
        answers = {str(call.params["callback_query_id"]): call.at for call in self._api.called("answerCallbackQuery")}
        never = float("inf")
        delays = {
            "word to reaction": [marks.get(mark, never) - began for mark, began in self._said.items()],
            "tap to answer": [answers.get(query, never) - began for began, query in self._taps],
        }
        self._said, self._taps = {}, []
        return delays

    def looks(self) -> Iterable[tuple[float, str]]:
        for call in self._api.calls:
            if call.method in {"editMessageText", "sendMessageDraft"}:
                yield call.at, str(call.params.get("text", ""))

    def waits(self) -> int:
        return self._api.told_to_wait

    def wrongs(self) -> list[str]:
        return self._api.violations


class OnDiscord:
    """The owner of a server with some channels, many threads in each."""

    def __init__(self, api: Discord) -> None:
        self._api = api
        self._channels = [api.text_channel(f"room-{number}") for number in range(CHANNELS)]
        self._said: list[tuple[float, int]] = []
        self._took: list[float] = []

    def about(self) -> Mapping[str, object]:
        api = self._api
        person, guild = str(api.owner.id), str(api.guild.id)
        return {"token": TOKEN, "rest": api.rest, "gateway": api.gateway, "guild": guild, "people": [person]}

    async def launch(self, number: int) -> None:
        await self._api.until(lambda: "launch" in self._api.command_names)
        await self._api.owner.slash(self._channels[number % CHANNELS], "launch", agent="played", task=title(number))

    async def say(self, number: int) -> None:
        began = self._api.clock.loop_time()
        thread = self._thread(number)
        await self._api.owner.says(thread, "And please look at the other test.")
        self._said.append((began, thread.id))

    async def command(self, number: int) -> None:
        answer = await self._api.owner.slash(self._thread(number), "help")
        self._took.append(float("inf") if answer.took is None else answer.took)

    def _thread(self, number: int) -> discordapi.Channel:
        found = self._api.threads(self._channels[number % CHANNELS])
        return next(thread for thread in found if thread.name == title(number))

    def threads(self) -> int:
        return sum(len(self._api.threads(channel)) for channel in self._channels)

    def requests(self) -> int:
        return len(self._api.calls)

    def delays(self) -> Mapping[str, list[float]]:
        marks = [(c.at, c.channel) for c in self._api.calls if c.method == "PUT" and "/reactions/" in c.route]
        delays = {
            "word to reaction": [
                next((at for at, where in marks if where == thread and at >= began), float("inf")) - began
                for began, thread in self._said
            ],
            "command to first answer": self._took,
        }
        self._said, self._took = [], []
        return delays

    def looks(self) -> Iterable[tuple[float, str]]:
        for call in self._api.calls:
            if call.method == "PATCH" and call.route.endswith("/messages/{message_id}"):
                yield call.at, str((call.body or {}).get("content", ""))

    def waits(self) -> int:
        return self._api.told_to_wait

    def wrongs(self) -> list[str]:
        return self._api.violations + self._api.sockets.wrong


def title(number: int) -> str:
    """What a thread is called."""
    return f"task {number}"


def shown(looks: Iterable[tuple[float, str]]) -> dict[str, float]:
    """When each stamped line was first seen in a look."""
    first: dict[str, float] = {}
    for at, text in looks:
        for stamp in STAMP.findall(text):
            first.setdefault(stamp, at)
    return first


async def obey(platform: Platform, order: Mapping[str, Any]) -> object:
    """One order of the bench."""
    match order["do"]:
        case "launch" | "say" | "command" as what:
            await getattr(platform, what)(order["number"])
        case "threads" | "requests" | "delays" | "waits" | "wrongs" as what:
            return getattr(platform, what)()
        case "shown":
            return shown(platform.looks())
        case unknown:
            raise ValueError(unknown)
    return None


@asynccontextmanager
async def played(name: str) -> AsyncIterator[Platform]:
    """The platform of this name, on a port of its own."""
    if name == "telegram":
        async with BotApi(private_topics=True) as api:
            for number in range(CHATS):
                api.private(api.person(FIRST + number, "Ann"))
            yield Telegram(api)
    else:
        async with Discord(token=TOKEN) as discord:
            yield OnDiscord(discord)


async def main() -> None:
    """Obey until stdin ends."""
    stdin = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    async with played(sys.argv[1]) as platform:
        print(json.dumps(platform.about()), flush=True)
        while line := await stdin.readline():
            print(json.dumps(await obey(platform, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
