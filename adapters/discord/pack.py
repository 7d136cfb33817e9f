"""Blocks into messages of bounded size: from the beginning, or only the newest of them.

A fence or a mark is never open across two messages, because every message writes its own part of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.discord.blocks import Block, head, tail
from orchestrator.words import units

LIMIT = 2000
"""UTF-16 units of a message."""

_WORTH = 3
"""A block that has to be cut begins in a message of which at least this part is free: a third."""


def packed(blocks: Sequence[Block], *, opening: str = "", limit: int = LIMIT) -> Iterator[str]:
    """The messages that hold all the blocks; the first begins with `opening`."""
    current = opening
    for block in blocks:
        rest: Block | None = block
        while rest is not None:
            gap = "\n" * rest.gap if current else ""
            text = str(rest)
            room = limit - units(current) - len(gap)
            if units(text) <= room:
                current += gap + text if text else ""
                break
            if current and (units(text) <= limit or room < limit // _WORTH):
                yield current
                current = ""
                continue
            first, rest = _cut(rest, room)
            begun = str(first) if first is not None else ""
            if current or begun:
                yield current + gap + begun if begun else current
            current = ""
    if current:
        yield current


def _cut(block: Block, room: int) -> tuple[Block | None, Block | None]:
    """A beginning that fits; where not even one character does with its marks, without them."""
    first, rest = head(block, room)
    return (first, rest) if first is not None else head(block.plain(), room)


def newest(blocks: Sequence[Block], *, room: int) -> tuple[Block, ...]:
    """The last blocks for which there is room, the first of them cut where it has to be."""
    kept: list[Block] = []
    for block in reversed(blocks):
        need = units(str(block)) + block.gap
        if need > room:
            last = tail(block, room - block.gap) if not kept or room > LIMIT // 10 else None
            return (last, *reversed(kept)) if last is not None else tuple(reversed(kept))
        kept.append(block)
        room -= need
    return tuple(reversed(kept))
