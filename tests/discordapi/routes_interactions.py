"""Answers to interactions over REST: the first one, and what the token allows for fifteen minutes after it.

None of this is asked for the bot's token, none of it counts against the budget for all, and none needs a permission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.discordapi.addenda import callback_violations
from tests.discordapi.ask import Answer, Ask, Route
from tests.discordapi.errors import Json, Refusal, invalid
from tests.discordapi.interactions import (
    AUTOCOMPLETE,
    CHOICES,
    COMMAND,
    COMPONENT,
    DEFER,
    DEFER_UPDATE,
    MODAL,
    OPEN_MODAL,
    PONG,
    SAY,
    UPDATE,
    Interaction,
)
from tests.discordapi.layout import EPHEMERAL_FLAG
from tests.discordapi.payloads import user
from tests.discordapi.routes_messages import fill
from tests.discordapi.schema import violations
from tests.discordapi.world import Message

if TYPE_CHECKING:
    from tests.discordapi.server import Discord

LOADING_FLAG = 1 << 7
HOOK = "/webhooks/{application_id}/{token}"
FITTING = {
    COMMAND: {SAY, DEFER, OPEN_MODAL},
    COMPONENT: {SAY, DEFER, DEFER_UPDATE, UPDATE, OPEN_MODAL},
    AUTOCOMPLETE: {CHOICES},
    MODAL: {SAY, DEFER, DEFER_UPDATE, UPDATE},
}


def routes() -> list[Route]:
    """The routes of this file."""
    return [
        Route(
            "POST",
            "/interactions/{interaction_id}/{token}/callback",
            _answer,
            lambda _, ask: callback_violations(ask.body),
            webhook=True,
        ),
        Route(
            "POST",
            HOOK,
            _follow_up,
            lambda _, ask: violations("IncomingWebhookInteractionRequest", ask.body),
            webhook=True,
        ),
        Route("GET", HOOK + "/messages/{which}", _get, webhook=True),
        Route(
            "PATCH",
            HOOK + "/messages/{which}",
            _edit,
            lambda _, ask: violations("IncomingWebhookUpdateForInteractionCallbackRequestPartial", ask.body),
            webhook=True,
        ),
        Route("DELETE", HOOK + "/messages/{which}", _delete, webhook=True),
    ]


# --- the first answer -------------------------------------------------------------------------------------------------


def _answer(api: Discord, ask: Ask) -> Answer:
    interaction = api.town.interactions.get(ask.path["token"])
    if interaction is None or interaction.id != ask.id("interaction_id"):
        raise Refusal(10062)
    kind, data = ask.json["type"], ask.json.get("data") or {}
    if kind != PONG and kind not in FITTING[interaction.kind]:
        raise invalid(
            "type", f"an interaction of type {interaction.kind} takes no answer {kind}", code="BASE_TYPE_CHOICES"
        )
    prepared = _prepared(api, interaction, kind, data, ask)
    interaction.acknowledge(kind)
    _done(api, interaction, kind, data, prepared)
    interaction.changed.set()
    return _receipt(api, interaction, kind) if ask.query.get("with_response") in {"1", "true"} else None


def _prepared(api: Discord, interaction: Interaction, kind: int, data: Json, ask: Ask) -> Message | None:
    """What the answer makes; built before the interaction is acknowledged, since a refused answer is none."""
    if kind in {SAY, DEFER}:
        message = _new(api, interaction, data)
        if kind == SAY:
            fill(api, message, data, ask.files)
        return message
    if kind == UPDATE:
        if interaction.source is None:
            raise Refusal(50024)
        if interaction.answer is None:
            fill(api, interaction.source, data, ask.files)
    if kind == CHOICES and len(data.get("choices") or []) > 25:
        raise invalid("data.choices", "Must be 25 or fewer in length.")
    return None


def _done(api: Discord, interaction: Interaction, kind: int, data: Json, message: Message | None) -> None:
    if message is not None:
        interaction.message, interaction.ephemeral = message, message.ephemeral
        interaction.loading = kind == DEFER
        if kind == DEFER:
            message.flags |= LOADING_FLAG
        api.town.put(interaction.channel, message)
    elif kind in {DEFER_UPDATE, UPDATE}:
        interaction.message = interaction.source
        if kind == UPDATE and interaction.source is not None:
            api.town.changed(interaction.source)
    elif kind == CHOICES:
        interaction.choices = [(c["name"], c["value"]) for c in data.get("choices") or []]
    elif kind == OPEN_MODAL:
        interaction.modal = data


def _new(api: Discord, interaction: Interaction, body: Json) -> Message:
    message = Message(
        api.clock.snowflake(),
        interaction.channel.id,
        api.world.me,
        api.clock.stamp(),
        flags=(body.get("flags") or 0) & EPHEMERAL_FLAG,
        kind=20 if interaction.kind == COMMAND else 19 if interaction.kind == COMPONENT else 0,
        application=api.world.application,
        webhook=api.world.application,
        interaction={
            "id": str(interaction.id),
            "type": interaction.kind,
            "user": user(interaction.user),
            "authorizing_integration_owners": {},
        },
    )
    if interaction.kind == COMPONENT and interaction.source is not None and not message.ephemeral:
        message.reference = interaction.source.id
    message.ephemeral_for = interaction.user.id if message.ephemeral else None
    return message


def _receipt(api: Discord, interaction: Interaction, kind: int) -> Answer:
    told: Json = {"id": str(interaction.id), "type": interaction.kind}
    resource: Json = {"type": kind}
    if interaction.message is not None:
        told |= {
            "response_message_id": str(interaction.message.id),
            "response_message_loading": interaction.loading,
            "response_message_ephemeral": interaction.ephemeral,
        }
        resource["message"] = api.town.shown(interaction.message)
    return {"interaction": told, "resource": resource}


# --- afterwards -------------------------------------------------------------------------------------------------------


def _hook(api: Discord, ask: Ask) -> Interaction:
    interaction = api.town.interactions.get(ask.path["token"])
    if interaction is None or ask.id("application_id") != api.world.application:
        raise Refusal(10015)
    interaction.use()
    return interaction


def _follow_up(api: Discord, ask: Ask) -> Answer:
    interaction = _hook(api, ask)
    if interaction.loading and interaction.message is not None:
        # The first follow-up after "thinking" takes the place of the thinking, privacy included.
        return _fill_original(api, interaction, ask)
    message = _new(api, interaction, ask.json)
    fill(api, message, ask.json, ask.files)
    interaction.followups.append(message)
    api.town.put(interaction.channel, message)
    interaction.changed.set()
    return api.town.shown(message)


def _fill_original(api: Discord, interaction: Interaction, ask: Ask) -> Answer:
    message = interaction.original()
    fill(api, message, ask.json, ask.files)
    message.flags &= ~LOADING_FLAG
    interaction.loading = False
    api.town.changed(message)
    interaction.changed.set()
    return api.town.shown(message)


def _get(api: Discord, ask: Ask) -> Answer:
    return api.town.shown(_hook(api, ask).find(ask.path["which"]))


def _edit(api: Discord, ask: Ask) -> Answer:
    interaction = _hook(api, ask)
    message = interaction.find(ask.path["which"])
    if message is interaction.message and interaction.loading:
        return _fill_original(api, interaction, ask)
    fill(api, message, ask.json, ask.files)
    api.town.changed(message)
    interaction.changed.set()
    return api.town.shown(message)


def _delete(api: Discord, ask: Ask) -> Answer:
    interaction = _hook(api, ask)
    message = interaction.find(ask.path["which"])
    if message is interaction.message:
        interaction.deleted, interaction.loading = True, False
    else:
        interaction.followups.remove(message)
    api.town.remove(message)
    interaction.changed.set()
    return None
