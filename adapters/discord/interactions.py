"""Commands, buttons and forms: answered at once, whatever the rest is doing, and then taken to the core.

A person sees the answer alone. A button carries where it leads, never that it may; one from before a restart is as good
as a new one. It knows no run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import discord
import structlog
from discord import InteractionType, app_commands

from adapters.discord.cards import token_of
from adapters.discord.commands import TASK, typed
from adapters.discord.errors import ACKNOWLEDGED, Declined
from adapters.discord.files import MESSAGE_SECONDS, fetched
from adapters.discord.people import PLATFORM, May, is_whole, member
from adapters.discord.render import pieces
from adapters.discord.speaking import NOBODY
from adapters.discord.wire import Wire
from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.nouns import Conversation, File, Inbound, Message, MessageId, Person
from orchestrator.ports import Artifacts, Receive

log = structlog.get_logger()

Suggest = Callable[[Person, Conversation, str], Awaitable[Sequence[tuple[str, str]]]]
"""Agents that this person may launch here, each with what it is about. Raises `Refused`, `Broken`."""

FIRST_ANSWER = 2.6
"""Seconds; after three Discord tells the person that nobody answered."""

MOST_CHOICES = 25
CHOICE = 100
FORM = "army-form:launch"

NOT_HERE = "This bot is not at home here."
NOT_OURS = "This button is not known here any more."
STARTING = "The bot is still starting. Try again in a moment."

Interaction = discord.Interaction[discord.Client]


class Interactions:
    """Takes them one by one, none waiting for another."""

    def __init__(
        self,
        wire: Wire,
        artifacts: Artifacts,
        *,
        guilds: Collection[str],
        may: May,
        suggest: Suggest,
        whole: Callable[[int], Awaitable[MessageId]],
    ) -> None:
        self._wire = wire
        self._whole = whole
        self._artifacts = artifacts
        self._guilds = frozenset(guilds)
        self._may = may
        self._suggest = suggest

    async def take(self, interaction: Interaction, receive: Receive) -> None:
        """Answer it and do what it asks. Trouble is told to the person, or logged when nobody can be told."""
        try:
            match interaction.type:
                case InteractionType.autocomplete:
                    await self._choices(interaction)
                case InteractionType.application_command if self._wants_form(interaction):
                    await self._form(interaction)
                case InteractionType.application_command | InteractionType.modal_submit:
                    await self._first(lambda: interaction.response.defer(ephemeral=True, thinking=True))
                    await self._done(interaction, await self._told(interaction, receive))
                case InteractionType.component:
                    await self._first(interaction.response.defer)
                    if words := await self._told(interaction, receive):
                        await self._say(interaction, words)
                case _:
                    log.info("interaction of an unknown kind", kind=str(interaction.type))
        except Trouble as why:
            log.warning("interaction not answered", key=key_of(interaction), why=str(why))

    # --- the first answer -------------------------------------------------------------------------------------------

    async def _first(self, answer: Callable[[], Awaitable[object]]) -> None:
        """Acknowledge, twice if need be. Raises when the person was told that nobody answered."""
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST_ANSWER
        while True:
            try:
                await self._wire.reply(lambda _: answer(), seconds=max(0.1, (until - loop.time()) / 2))
            except Declined as why:
                if why.code != ACKNOWLEDGED:
                    raise
            except Broken:
                if loop.time() < until - 0.2:
                    continue
                raise
            return

    async def _choices(self, interaction: Interaction) -> None:
        person, where = _who(interaction), _where(interaction)
        found: Sequence[tuple[str, str]] = ()
        if person is not None and where is not None and self._is_home(interaction):
            partial = next((str(o.get("value", "")) for o in _options(interaction) if o.get("focused")), "")
            try:
                async with asyncio.timeout(FIRST_ANSWER / 2):
                    found = await self._suggest(person, where, partial)
            except (Trouble, TimeoutError) as why:
                log.info("nothing suggested", why=str(why))
        choices = [
            app_commands.Choice(name=f"{name} – {about}"[:CHOICE] if about else name[:CHOICE], value=name)
            for name, about in found[:MOST_CHOICES]
            if 0 < len(name) <= CHOICE
        ]
        await self._wire.reply(lambda _: interaction.response.autocomplete(choices), seconds=FIRST_ANSWER / 2)

    def _wants_form(self, interaction: Interaction) -> bool:
        """A launch without a task or a file."""
        named = {option["name"] for option in _options(interaction)}
        data: Mapping[str, Any] = interaction.data or {}
        if data.get("name") != "launch" or not named <= {"agent"} or not self._is_home(interaction):
            return False
        person, where = _who(interaction), _where(interaction)
        return person is not None and where is not None and self._may(person, where)

    async def _form(self, interaction: Interaction) -> None:
        agent = next((str(option["value"]) for option in _options(interaction)), "")
        form = discord.ui.Modal(title="Launch an agent", timeout=None, custom_id=FORM)
        form.add_item(
            discord.ui.Label(
                text="Agent",
                component=discord.ui.TextInput(
                    custom_id="agent",
                    default=agent or None,
                    required=False,
                    max_length=100,
                    placeholder="the usual one",
                ),
            )
        )
        form.add_item(
            discord.ui.Label(
                text="Task",
                component=discord.ui.TextInput(custom_id="task", style=discord.TextStyle.paragraph, max_length=TASK),
            )
        )
        form.stop()  # the library then does not keep it for ever to listen to
        await self._first(lambda: interaction.response.send_modal(form))

    # --- what it asks -----------------------------------------------------------------------------------------------

    async def _told(self, interaction: Interaction, receive: Receive) -> str:
        """Take it to the core; what is to be told to the person, if anything."""
        if not self._is_home(interaction):
            return NOT_HERE
        person, where = _who(interaction), _where(interaction)
        if person is None or where is None:
            return STARTING
        try:
            await receive(await self._inbound(interaction, person, where))
        except Refused as why:
            return str(why)
        except Trouble as why:
            return f"Nothing was taken: {why} Try again."
        except Exception:
            log.exception("a defect kept an interaction from being done", key=key_of(interaction))
            return "A defect in the bot kept this from being done; its log has the details."
        return ""

    async def _inbound(self, interaction: Interaction, person: Person, where: Conversation) -> Inbound:
        data: Mapping[str, Any] = interaction.data or {}
        key = key_of(interaction)
        match interaction.type:
            case InteractionType.component:
                token = token_of(str(data.get("custom_id", "")))
                if token is None:
                    log.warning("a button that is not ours was pressed", key=key, person=person.id)
                    raise Refused(NOT_OURS)
                on = MessageId(str(interaction.message.id) if interaction.message else "")
                if interaction.message and self._may(person, where):
                    on = await self._whole(interaction.message.id)
                return Inbound(key=key, where=where, person=person, press=token, on=on)
            case InteractionType.modal_submit:
                if data.get("custom_id") != FORM:
                    raise Refused("This form is not known here any more.")
                filled = dict(_filled(data.get("components", ())))
                words = [filled.get(name, "").strip() for name in ("agent", "task")]
                return Inbound(key=key, where=where, person=person, text=" ".join(filter(None, ("/launch", *words))))
            case _:
                text = typed(str(data.get("name", "")), _options(interaction))
                files = await self._files(interaction) if self._may(person, where) else ()
                return Inbound(key=key, where=where, person=person, text=text, files=files)

    async def _files(self, interaction: Interaction) -> tuple[File, ...]:
        data: Mapping[str, Any] = interaction.data or {}
        found = data.get("resolved", {}).get("attachments", {}).values()
        given = [discord.Attachment(data=one, state=interaction._state) for one in found]  # noqa: SLF001
        session, key = self._wire.files, key_of(interaction)
        try:
            async with asyncio.timeout(MESSAGE_SECONDS):
                return tuple([await fetched(one, key=key, session=session, artifacts=self._artifacts) for one in given])
        except TimeoutError as error:
            raise Refused("The file took too long to come; nothing was begun.") from error

    def _is_home(self, interaction: Interaction) -> bool:
        return str(interaction.guild_id) in self._guilds

    # --- afterwards -------------------------------------------------------------------------------------------------

    async def _done(self, interaction: Interaction, words: str) -> None:
        """The "thinking" goes, or becomes words."""
        if not words:
            await self._wire.reply(lambda _: interaction.delete_original_response())
            return
        await self._wire.reply(
            lambda _: interaction.edit_original_response(content=_rendered(words), allowed_mentions=NOBODY)
        )

    async def _say(self, interaction: Interaction, words: str) -> None:
        """Words under a button, for who pressed it alone."""
        await self._wire.reply(
            lambda _: interaction.followup.send(
                _rendered(words), ephemeral=True, allowed_mentions=NOBODY, suppress_embeds=True
            )
        )


def key_of(interaction: Interaction) -> str:
    """The interaction's name for ever."""
    return f"{PLATFORM}/i/{interaction.id}"


def _rendered(words: str) -> str:
    return pieces(Message(text=words)).texts[0]


def _who(interaction: Interaction) -> Person | None:
    """The person, or nothing while their guild is not known yet."""
    user = interaction.user
    if not isinstance(user, discord.Member) or not is_whole(interaction.guild):
        return None
    return member(user, interaction.permissions)


def _where(interaction: Interaction) -> Conversation | None:
    channel = interaction.channel
    if channel is None or interaction.guild_id is None:
        return None
    if isinstance(channel, discord.Thread):
        return Conversation(PLATFORM, f"{interaction.guild_id}/{channel.parent_id}", str(channel.id))
    return Conversation(PLATFORM, f"{interaction.guild_id}/{channel.id}")


def _options(interaction: Interaction) -> Sequence[Mapping[str, Any]]:
    data: Mapping[str, Any] = interaction.data or {}
    options: Sequence[Mapping[str, Any]] = data.get("options", ())
    return options


def _filled(components: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The fields of a form, wherever in it they stand."""
    for component in components:
        if "custom_id" in component and isinstance(component.get("value"), str):
            yield component["custom_id"], component["value"]
        inner = component.get("component")
        yield from _filled([inner] if isinstance(inner, dict) else component.get("components", ()))
