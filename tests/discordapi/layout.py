"""What a message is made of: readable text, buttons and menus out of components, mentions that ping, and its limits.

Pure functions over the platform's JSON; who sends it and where is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.discordapi.errors import Json, Refusal, invalid

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT_DISPLAY, LABEL = 9, 10, 18
SELECTS = (3, 5, 6, 7, 8)
LAYOUT_FLAG = 1 << 15
EPHEMERAL_FLAG = 1 << 6
LINK_STYLE, PREMIUM_STYLE = 5, 6

MENTION = re.compile(r"<@!?(?P<user>\d+)>|<@&(?P<role>\d+)>|(?P<all>@everyone|@here)")


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    custom_id: str
    style: int
    disabled: bool
    url: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    kind: int
    custom_id: str
    placeholder: str
    options: tuple[tuple[str, str], ...]
    least: int
    most: int
    disabled: bool


def every(components: list[Json]) -> Iterator[Json]:
    """Every component, nested ones included, in the order a person meets them."""
    for component in components:
        yield component
        yield from every(component.get("components") or [])
        if isinstance(component.get("component"), dict):
            yield from every([component["component"]])
        if isinstance(component.get("accessory"), dict):
            yield from every([component["accessory"]])


def numbered(components: list[Json]) -> list[Json]:
    """The components with a number each, as the platform gives them back."""
    taken = {c["id"] for c in every(components) if c.get("id")}
    free = (number for number in range(1, 1000) if number not in taken)
    copied: list[Json] = json.loads(json.dumps(components))
    for component in every(copied):
        component["id"] = component.get("id") or next(free)
    return copied


def text_of(content: str, components: list[Json], embeds: list[Json]) -> str:
    """What a person reads, a line per piece; labels of buttons are not part of it."""
    pieces = [content] if content else []
    pieces += [c["content"] for c in every(components) if c["type"] == TEXT_DISPLAY]
    for embed in embeds:
        pieces += _embedded(embed)
    return "\n".join(pieces)


def _embedded(embed: Json) -> Iterator[str]:
    yield from (str(embed[name]) for name in ("title", "description") if embed.get(name))
    for one in embed.get("fields") or []:
        yield f"{one['name']}: {one['value']}"
    if footer := embed.get("footer"):
        yield str(footer["text"])


def buttons_of(components: list[Json]) -> list[Button]:
    """The buttons, in order."""
    return [
        Button(
            c.get("label") or (c.get("emoji") or {}).get("name") or "",
            c.get("custom_id") or "",
            c["style"],
            bool(c.get("disabled")),
            c.get("url") or "",
        )
        for c in every(components)
        if c["type"] == BUTTON
    ]


def selects_of(components: list[Json]) -> list[Select]:
    """The menus, in order."""
    return [
        Select(
            c["type"],
            c["custom_id"],
            c.get("placeholder") or "",
            tuple((o["label"], o["value"]) for o in c.get("options") or []),
            1 if c.get("min_values") is None else c["min_values"],
            1 if c.get("max_values") is None else c["max_values"],
            bool(c.get("disabled")),
        )
        for c in every(components)
        if c["type"] in SELECTS
    ]


def pings_of(text: str, allowed: Json | None) -> list[str]:
    """The mentions in a text that notify somebody; without `allowed_mentions` every one does."""
    found = []
    for mention in MENTION.finditer(text):
        kind = "users" if mention["user"] else "roles" if mention["role"] else "everyone"
        one = mention["user"] or mention["role"]
        named = (allowed or {}).get(kind) or []
        if allowed is None or kind in (allowed.get("parse") or []) or (one and one in [str(n) for n in named]):
            found.append(mention[0])
    return list(dict.fromkeys(found))


def check_message(content: str, components: list[Json], embeds: list[Json], *, files: int, flags: int) -> None:
    """Raise what the platform answers to a message that it does not take."""
    if len(content) > 2000:
        raise invalid("content", "Must be 2000 or fewer in length.")
    if flags & LAYOUT_FLAG:
        if content or embeds:
            name = "content" if content else "embeds"
            raise invalid(name, f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2")
        _check_layout(components)
    else:
        _check_rows(components)
    _check_embeds(embeds)
    _check_pieces(components)
    if not (content or components or embeds or files):
        raise Refusal(50006)


def _check_layout(components: list[Json]) -> None:
    found = list(every(components))
    if len(found) > 40:
        raise invalid("components", "The total number of components exceeds the maximum of 40.")
    if sum(len(c["content"]) for c in found if c["type"] == TEXT_DISPLAY) > 4000:
        raise invalid("components", "The text of all components exceeds the maximum length of 4000.")


def _check_rows(components: list[Json]) -> None:
    if len(components) > 5:
        raise invalid("components", "Must be between 1 and 5 in length.")
    if any(c["type"] != ROW for c in components):
        raise invalid("components.0", "The component type is not allowed without MessageFlags.IS_COMPONENTS_V2")


def _check_embeds(embeds: list[Json]) -> None:
    total = 0
    for embed in embeds:
        total += len(embed.get("title") or "") + len(embed.get("description") or "")
        total += len((embed.get("footer") or {}).get("text") or "") + len((embed.get("author") or {}).get("name") or "")
        total += sum(len(one["name"]) + len(one["value"]) for one in embed.get("fields") or [])
    if total > 6000:
        raise invalid("embeds", "Embed size exceeds maximum size of 6000")


def _check_pieces(components: list[Json]) -> None:
    seen: set[str] = set()
    for c in every(components):
        if c["type"] == BUTTON:
            _check_button(c)
        if c["type"] == STRING_SELECT and not 1 <= len(c.get("options") or []) <= 25:
            raise invalid("components", "Must be between 1 and 25 in length.")
        if c["type"] == ROW and sum(1 for inner in c["components"] if inner["type"] == BUTTON) > 5:
            raise invalid("components", "Must be between 1 and 5 in length.")
        if c["type"] == TEXT_DISPLAY and not c["content"]:
            raise invalid("components", "This field is required", code="BASE_TYPE_REQUIRED")
        if custom := c.get("custom_id"):
            if custom in seen:
                raise invalid("components", "Component custom id cannot be duplicated")
            seen.add(custom)


def _check_button(button: Json) -> None:
    if len(button.get("label") or "") > 80:
        raise invalid("components.label", "Must be 80 or fewer in length.")
    if len(button.get("custom_id") or "") > 100:
        raise invalid("components.custom_id", "Must be between 1 and 100 in length.")
    style = button["style"]
    if style == LINK_STYLE and (button.get("custom_id") or not button.get("url")):
        raise invalid("components.url", "A link button needs a url and no custom id")
    if style not in {LINK_STYLE, PREMIUM_STYLE} and (not button.get("custom_id") or button.get("url")):
        raise invalid("components.custom_id", "A custom id is required")
    if style != PREMIUM_STYLE and not (button.get("label") or button.get("emoji")):
        raise invalid("components.label", "A button needs a label or an emoji")
