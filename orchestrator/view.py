"""What people see of a run while it lives: its page and its line on the dashboard.

Everything here is a pure function of a run's state; how a message looks on a platform is the adapter's to say. What an
agent printed goes into `Message.text` or into plain-text fields and is never taken for more than text.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator import events as ev
from orchestrator.nouns import Button, Conversation, Message, Phase, Row, Style
from orchestrator.run import State

PAGE_TEXT = 1500
"""Characters of text on a live page: the newest; the whole stands in the final answer."""

MOST_FENCE = 40
"""Characters of a line that opens a code block, when it is opened again."""

PAGE_LOG = 40
"""Lines of what was done on a live page."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is true only now and stands in no journal: text being written, and words about the pod or the platform."""

    text: str = ""
    thinking: bool = False
    words: str = ""
    slowed: float = 0.0


def page(state: State, moment: Moment) -> Message:
    """The run's page as it should look now."""
    text = state.written
    if moment.text and not moment.thinking:
        text = f"{text}\n\n{closed(moment.text)}".strip("\n")
    text = newest(text, PAGE_TEXT)
    running = tuple(f"… {tool.text}" for tool in state.tools.values())
    return Message(
        text=text,
        status=_status(state, moment),
        log=(tuple(state.done) + running)[-PAGE_LOG:],
        since=state.turn_began or state.began,
        buttons=_page_buttons(state),
        tail=True,
    )


def _status(state: State, moment: Moment) -> str:
    words = [state.phase.value]
    match state.phase:
        case Phase.WORKING:
            words.append(_doing(state, moment))
        case Phase.STARTING:
            words.append(moment.words)
        case Phase.IDLE if not state.turns:
            words.append("write here what it should do")
        case _:
            words.append(moment.words)
    if (state.notice and state.notice.level != "info") or (state.notice and state.phase is Phase.STARTING):
        words.append(state.notice.text)
    if state.cost_usd:
        words.append(dollars(state.cost_usd))
    if state.page <= 1:
        words.append(state.isolation)
    if moment.slowed:
        words.append("updates come slowly: the platform asked for patience")
    return " · ".join(word for word in words if word)


def _doing(state: State, moment: Moment) -> str:
    if moment.words:
        return moment.words
    if state.tools:
        return list(state.tools.values())[-1].text
    if moment.thinking:
        return "thinking"
    return "writing" if moment.text else ""


def _page_buttons(state: State) -> tuple[Button, ...]:
    if state.phase in {Phase.ENDED, Phase.STOPPING}:
        return ()
    stop = Button("Stop", f"stop:{state.run}", Style.DANGER)
    if state.phase in {Phase.WORKING, Phase.ASKING}:
        return (Button("Interrupt", f"interrupt:{state.run}"), stop)
    return (stop,)


def row(state: State, moment: Moment, *, seen_from: Conversation) -> Row:
    """The run's line on a dashboard. From a platform on which it has no place, one can be had by a tap."""
    assert state.launched is not None
    here = next((where for where in state.seats.values() if where.platform == seen_from.platform), None)
    buttons = _page_buttons(state)
    if here is None and state.seated and buttons:
        buttons = (Button("Watch here", f"watch:{state.run}"), *buttons)
    return Row(
        run=state.run,
        title=state.launched.title,
        agent=state.agent.name,
        phase=state.phase,
        since=state.began,
        cost_usd=state.cost_usd,
        where=here or state.where,
        words=moment.words or (state.notice.text if state.notice and state.notice.level == "error" else ""),
        buttons=buttons,
    )


def past_row(launched: ev.Entry, ended: ev.Entry) -> Row:
    """The line of a run that is over, from the first and the last thing that happened to it."""
    first, last = launched.event, ended.event
    assert isinstance(first, ev.Launched)
    assert isinstance(last, ev.Ended)
    return Row(
        run=launched.run,
        title=first.title,
        agent=first.agent.name,
        phase=Phase.ENDED,
        since=0.0,  # it is no clock any more
        cost_usd=last.cost_usd,
        where=last.where,
        words=" · ".join(filter(None, (last.words or last.reason, f"after {span(last.seconds)}"))),
        buttons=(Button("Launch again", f"again:{launched.run}"),),
    )


def newest(text: str, most: int) -> str:
    """The end of a markdown text, from the beginning of a line on where there is one; a code block stays one."""
    if len(text) <= most:
        return text
    start = len(text) - most
    end_of_line = text.find("\n", start)
    start = end_of_line + 1 if 0 <= end_of_line < len(text) - most // 2 else start
    fence = _open_fence(text[:start])
    return f"…\n\n{fence}\n{text[start:]}" if fence else f"…{text[start:]}"


def _open_fence(text: str) -> str:
    """The line that opened the code block in which this text ends, or nothing."""
    fence, mark = "", ""
    for line in text.split("\n"):
        begins = line.lstrip()
        if fence and begins.startswith(mark):
            fence = ""
        elif not fence and begins.startswith(("```", "~~~")):
            mark = begins[: len(begins) - len(begins.lstrip(begins[0]))]
            fence = begins if len(begins) <= MOST_FENCE else mark
    return fence


def closed(text: str) -> str:
    """Markdown that is being written, with the bold or code closed that its last line opened: no mark flickers."""
    lines = text.rstrip(" ").split("\n")
    last = lines[-1]
    if "```" in last or sum(line.lstrip().startswith("```") for line in lines) % 2:
        return text
    for mark in ("`", "**"):
        if last.count(mark) % 2:
            return text if last.endswith(mark[0]) else "\n".join(lines) + mark
    return text


def dollars(amount: float) -> str:
    """An amount of money, as short as it can be said: cents from ten cents on, more places below."""
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}".rstrip("0")


def span(seconds: float) -> str:
    """A length of time in one or two units: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 and whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"
