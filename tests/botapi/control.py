"""The same server by hand: `POST /control/VERB` with JSON lets a person or another process set up, talk and look.

    curl -d '{"id": 7, "name": "Ann"}' URL/control/private
    curl -d '{"person": 7, "chat": 7, "text": "/launch hi"}' URL/control/say
    curl -d '{"chat": 7}' URL/control/messages

It knows no more than a test that holds the `BotApi`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from aiohttp import web

from tests.botapi.faults import Fault, Kind
from tests.botapi.people import Person
from tests.botapi.refusal import Json
from tests.botapi.server import BotApi
from tests.botapi.world import Chat, Standing
from tests.verbs import by_hand


def control(api: BotApi) -> Iterable[web.AbstractRouteDef]:
    """The routes of the control interface."""
    return by_hand(Control(api))


class Control:
    """Each public method is a verb; what it takes by keyword is the JSON of the request."""

    def __init__(self, api: BotApi) -> None:
        self._api = api
        self._people: dict[int, Person] = {}

    # --- setting up ---------------------------------------------------------------------------------------------

    def private(self, *, id: int, name: str = "Ann") -> Json:  # noqa: A002 - the platform's word
        """Somebody and their talk with the bot."""
        return self._api.private(self._who(id, name)).json()

    def group(self, *, id: int, title: str = "Group", forum: bool = False, bot: str = "administrator") -> Json:  # noqa: A002 - the platform's word
        """A group or forum."""
        return self._api.group(id, title=title, forum=forum, bot=bot).json()

    def topic(self, *, chat: int, name: str, person: int) -> int:
        """A topic that somebody opens; its id."""
        return self._api.street.topic(self._chat(chat), name, by=self._who(person)).id

    def bot(self, *, chat: int, status: str, person: int) -> None:
        """What the bot is in a chat from now on; `kicked` in a private chat is a block."""
        self._api.street.bot_becomes(self._chat(chat), status, by=self._who(person))

    # --- people -------------------------------------------------------------------------------------------------

    async def say(self, *, person: int, chat: int, text: str, thread: int = 0, reply_to: int = 0) -> Json:
        """Somebody says something."""
        replied = self._message(chat, reply_to) if reply_to else None
        return look(await self._who(person).says(chat, text, thread=thread, reply_to=replied))

    async def edit(self, *, person: int, chat: int, message: int, text: str) -> Json:
        """Somebody changes their words."""
        found = self._message(chat, message)
        await self._who(person).edits(found, text)
        return look(found)

    async def forward(self, *, person: int, chat: int, text: str, origin: str = "user", thread: int = 0) -> Json:
        """Somebody passes on what was written elsewhere."""
        return look(await self._who(person).forwards(chat, text, origin=origin, thread=thread))

    async def document(
        self, *, person: int, chat: int, name: str, content: str = "document", caption: str = "", thread: int = 0
    ) -> Json:
        """Somebody sends a file."""
        who = self._who(person)
        return look(await who.sends_document(chat, name, content.encode(), caption=caption, thread=thread))

    async def press(self, *, person: int, chat: int, message: int, button: str) -> Json | None:
        """Somebody taps a button, by its label or data; what the bot said to it."""
        return await self._who(person).presses(self._message(chat, message), button)

    def remove(self, *, chat: int, message: int) -> None:
        """Somebody deletes a message."""
        self._api.street.remove(self._message(chat, message))

    def raw(self, *, update: Json) -> int:
        """An update with any content whatever."""
        return self._api.push_raw(update)

    # --- trouble ------------------------------------------------------------------------------------------------

    def fail(
        self,
        *,
        method: str,
        kind: str,
        status: int = 502,
        words: str = "Bad Gateway",
        seconds: float = 5.0,
        chat: int | None = None,
        times: int = 1,
    ) -> None:
        """The next calls of a method end in this."""
        self._api.fail(method, Fault(Kind(kind), status, words, seconds), chat=chat, times=times)

    def release(self) -> None:
        """What hangs goes on."""
        self._api.release()

    def clear(self) -> None:
        """Nothing that was planned goes wrong any more."""
        self._api.faults.clear()

    def refuse(self, *, seconds: float) -> None:
        """No connections for so long; then again on the same port."""
        self._api.go_away(seconds)

    # --- looking ------------------------------------------------------------------------------------------------

    def messages(self, *, chat: int, thread: int | None = None) -> list[Json]:
        """What stands in a chat now."""
        return [look(message) for message in self._api.messages(chat, thread)]

    async def wait(self, *, chat: int, text: str, thread: int | None = None, within: float = 15.0) -> Json:
        """The first message with these words in it, as soon as it stands there."""
        return look(await self._api.seen(chat, lambda message: text in message.text, thread=thread, within=within))

    def calls(self, *, method: str = "", chat: int | None = None) -> list[Json]:
        """The requests that came."""
        return [asdict(call) for call in self._api.called(method, chat=chat)]

    def state(self) -> Json:
        """How the client behaves."""
        world = self._api.world
        return {
            "violations": self._api.violations,
            "told_to_wait": self._api.told_to_wait,
            "into_penalty": self._api.into_penalty,
            "waiting_updates": len(world.updates.waiting),
            "polled": world.updates.polled,
            "calls": len(self._api.calls),
            "chats": [chat.json() for chat in world.chats.values()],
            "drafts": [
                asdict(draft) for draft in world.drafts.values() if draft is world.draft(draft.chat, draft.thread)
            ],
            "commands": [
                {"scope": json.loads(scope), "language_code": language, "commands": commands}
                for (scope, language), commands in world.commands.items()
            ],
        }

    def _who(self, id_: int, name: str = "") -> Person:
        if id_ not in self._people:
            self._people[id_] = self._api.person(id_, name or f"Person {id_}")
        return self._people[id_]

    def _chat(self, chat: int) -> Chat:
        return self._api.world.chats[chat]

    def _message(self, chat: int, message: int) -> Standing:
        return self._chat(chat).standing[message]


def look(message: Standing) -> Json:
    """A message as a person sees it, in few words."""
    return {
        "id": message.id,
        "from": (message.sender or {}).get("first_name", ""),
        "own": message.own,
        "thread": message.thread,
        "text": message.text,
        "entities": message.entities,
        "buttons": [[button["text"] for button in row] for row in message.rows],
        "file": message.file.name if message.file else None,
        "edits": message.edits,
        "silent": message.silent,
        "pinned": message.pinned,
        "reactions": list(message.reactions),
        "reply_to": message.reply_to.id if message.reply_to else None,
        "service": sorted(message.content) if message.service else [],
    }
