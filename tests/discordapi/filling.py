"""What a person's client makes of options, menus and modals, and what it would not let them do.

Pure functions over the platform's JSON. Trying more than the client allows is an AssertionError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.discordapi.errors import Json

Value = str | int | float | bool
OPTION_TYPES: dict[int, tuple[type, ...]] = {
    3: (str,),
    4: (int,),
    5: (bool,),
    6: (int,),
    7: (int,),
    8: (int,),
    10: (int, float),
}


def filled(option: Json, value: Value) -> Json:
    kinds = OPTION_TYPES.get(option["type"])
    assert kinds is None or type(value) in kinds, f"{option['name']} takes no {value!r}"
    choices = option.get("choices")
    assert not choices or value in {c["value"] for c in choices}, f"{option['name']} has no choice {value!r}"
    if isinstance(value, str):
        assert len(value) <= (option.get("max_length") or 6000), f"{option['name']} is too long"
        assert len(value) >= (option.get("min_length") or 0), f"{option['name']} is too short"
    as_id = option["type"] in {6, 7, 8, 9, 11}
    return {"name": option["name"], "type": option["type"], "value": str(value) if as_id else value}


def command_data(command: Json, path: list[Json], given: list[Json]) -> Json:
    options = given
    for step in reversed(path):
        options = [{"name": step["name"], "type": step["type"], "options": options}]
    data: Json = {"id": command["id"], "name": command["name"], "type": 1, "options": options}
    return data | ({"guild_id": command["guild_id"]} if command.get("guild_id") else {})


def picked(menu: Json, values: Sequence[str]) -> list[str]:
    least = 1 if menu.get("min_values") is None else menu["min_values"]
    most = 1 if menu.get("max_values") is None else menu["max_values"]
    assert least <= len(values) <= most, f"the menu takes {least} to {most}"
    if menu["type"] != 3:
        return list(values)
    by_label = {o["label"]: o["value"] for o in menu["options"]} | {o["value"]: o["value"] for o in menu["options"]}
    assert set(values) <= set(by_label), f"the menu has only {list(by_label)}"
    return [by_label[value] for value in values]


def modal_piece(piece: Json, values: dict[str, Any]) -> Json | None:
    if piece["type"] == 10:
        return None
    head = {"type": piece["type"], "id": piece.get("id", 1)}
    if piece["type"] == 1:
        inner = [_modal_field(one, values) for one in piece["components"]]
        return head | {"components": inner}
    return head | {"component": _modal_field(piece["component"], values, label=piece["label"])}


def _modal_field(one: Json, values: dict[str, Any], *, label: str = "") -> Json:
    custom = one["custom_id"]
    name = next((n for n in (custom, label, one.get("label")) if n in values), None)
    given = values.pop(name) if name is not None else one.get("value") or ""
    required = one.get("required", True)
    assert given or not required, f"the modal needs {label or custom}"
    head = {"type": one["type"], "id": one.get("id", 1), "custom_id": custom}
    if one["type"] == 4:
        assert isinstance(given, str)
        assert len(given) <= (one.get("max_length") or 4000), f"{label or custom} is too long"
        assert not given or len(given) >= (one.get("min_length") or 0), f"{label or custom} is too short"
        return head | {"value": given}
    picked = [given] if isinstance(given, str) and given else list(given)
    return head | ({"value": picked[0] if picked else None} if one["type"] == 21 else {"values": picked})


def kind_of(name: str) -> str:
    known = {"txt": "text/plain; charset=utf-8", "md": "text/markdown", "png": "image/png", "json": "application/json"}
    return known.get(name.rsplit(".", 1)[-1].lower(), "application/octet-stream")
