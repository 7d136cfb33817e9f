"""HTML as a reader and as an inspector see it: its words, and every tag and attribute in it."""

from __future__ import annotations

from html.parser import HTMLParser


class Reading(HTMLParser):
    """Collects what stands in a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.torn: list[str] = []
        self.feed(html)
        self.close()
        self.torn += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"br", "hr", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.torn.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_comment(self, data: str) -> None:
        self.torn.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.torn.append(f"<!{decl}")


def words_of(html: str) -> str:
    """The words that a person reads."""
    return " ".join(" ".join(Reading(html).parts).split())
