"""HTML that was made from an agent's words, written again with only the tags that are known here.

Every tag is closed where it must be, none is nested deeper than Telegram allows, pictures are links (Telegram would
fetch them, and whoever owns the address would know), and links that are none are words with their target.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from html.parser import HTMLParser

from adapters.telegram.markdown import is_safe
from adapters.telegram.text import calm

DEEPEST = 14
"""Telegram takes 16 levels; a list in its own right is two of them."""

MOST_BLOCKS = 500

_INLINE = frozenset({"b", "i", "s", "u", "code", "a"})
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre"})
_CONTAINERS = frozenset({"blockquote", "ul", "ol", "li", "table", "tr", "th", "td"})
_KNOWN = _INLINE | _PARAGRAPHS | _CONTAINERS
_VOID = frozenset({"br", "hr"})
_MAY_BE_EMPTY = frozenset({"li", "th", "td"})
_SIDES = frozenset({"left", "center", "right"})
BLOCKS = _PARAGRAPHS | _CONTAINERS - {"th", "td"} | {"hr", "details", "img"}

Words = Callable[[str, bool], str]
"""What is written for some text: it is given the text and whether it stands at the beginning of a list's item."""


class Tamer(HTMLParser):
    """Reads one document and keeps what it writes in `parts`."""

    def __init__(self, words: Words, address: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._words = words
        self._address = address
        self._open: list[tuple[str, str, int]] = []  # as it was read; as it was written, or empty; where it began

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Write it when it may stand here."""
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self._link(self._address(values.get("src", "")), values.get("alt", ""))
        elif tag in _VOID:
            self.parts.append(f"<{tag}/>")
        else:
            written = tag if tag in _KNOWN and len(self._open) < DEEPEST and not self._shut(tag) else ""
            if tag == "a":
                address = self._address(values.get("href", ""))
                written = "a" if written and is_safe(address) else ""
                values["href"] = address
            self._open.append((tag, written, len(self.parts)))
            self.parts.append(f"<{written}{_attributes(written, values)}>" if written else "")
            if tag == "a" and not written:
                self._open[-1] = (f"a {values['href']}", "", len(self.parts) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One that closes itself."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close everything down to it."""
        if any(read.partition(" ")[0] == tag for read, _, _ in self._open):
            while self._close() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Words; those outside of code and links are kept from being more."""
        words = self._words(data, bool(self._open) and self._begins_item())
        loose = not any(written in {"pre", "code", "a"} for _, written, _ in self._open)
        self.parts.append(escape(calm(words) if loose else words, quote=False))

    def close(self) -> None:
        """Close what is left open."""
        super().close()
        while self._open:
            self._close()

    def _shut(self, tag: str) -> bool:
        """Whether what is open here may not hold this."""
        around = {written for _, written, _ in self._open}
        if "code" in around or (tag == "a" and "a" in around):
            return True
        return "pre" in around and tag != "code"

    def _begins_item(self) -> bool:
        read, _, began = self._open[-1]
        if read == "p" and len(self._open) > 1 and self._open[-2][2] == began - 1:
            read = self._open[-2][0]
        return read == "li" and all(not part or part.startswith("<") for part in self.parts[began:])

    def _close(self) -> str:
        read, written, began = self._open.pop()
        read, _, target = read.partition(" ")
        if written and written not in _MAY_BE_EMPTY and not "".join(self.parts[began + 1 :]).strip():
            del self.parts[began:]
        elif written:
            self.parts.append(f"</{written}>")
        elif target and not target.startswith("#"):
            shown = target.removeprefix("mailto:")
            if escape(shown, quote=False) not in "".join(self.parts[began:]):
                self.parts.append(escape(f" ({calm(shown)})", quote=False))
        return read

    def _link(self, address: str, words: str) -> None:
        name = self._words(words, False).strip() or "picture"
        inside = any(written in {"a", "code", "pre"} for _, written, _ in self._open)
        if is_safe(address) and not inside:
            self.parts.append(f'🖼 <a href="{escape(address)}">{escape(name, quote=False)}</a>')
        else:
            self.parts.append("🖼 " + escape(calm(name if inside else f"{name} ({address})"), quote=False))


def _attributes(tag: str, values: dict[str, str]) -> str:
    if tag == "a":
        return f' href="{escape(values["href"])}"'
    if tag == "ol" and values.get("start", "1").isdecimal() and values.get("start", "1") != "1":
        return f' start="{int(values["start"][:9])}"'
    if tag == "code" and values.get("class", "").startswith("language-"):
        language = next(iter(values["class"].removeprefix("language-").split()), "")
        return f' class="language-{escape(language[:64])}"' if language else ""
    if tag in {"th", "td"} and values.get("align") in _SIDES:
        return f' align="{values["align"]}"'
    return ""
