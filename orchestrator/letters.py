"""What must be told of a run: the letters that its events cause, each with a key that makes it land once.

Pure functions of the state just before an event. A question, a final answer, a failure and an end ring and are messages
of their own, because an edit does not ring; progress is on the page and silent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent import wire
from orchestrator import events as ev
from orchestrator.keys import at_seat, entry_key, is_page, last_look, page_key, seatless, welcome_key
from orchestrator.nouns import (
    ArtifactId,
    Button,
    Conversation,
    File,
    Got,
    Lane,
    Letter,
    Message,
    Phase,
    Receipt,
    RunId,
    Style,
)  # fmt: skip
from orchestrator.run import SYSTEM, State, short
from orchestrator.view import Moment, dollars, page, span

OUTCOMES = {
    "done": "done",
    "interrupted": "interrupted",
    "failed": "failed",
    "budget": "stopped by its budget",
    "turns": "stopped at its limit of turns",
}


MOST_BUTTONS = 24
"""Choices of an Ask that get a button; the platforms bear about as many. Any may be typed."""


ASK = "ask:"
"""What the button of an Ask begins with."""


def ask_token(run: RunId, ask: str, pick: int) -> str:
    """The button of an Ask's choice."""
    return f"{ASK}{run}:{short(ask)}:{pick}"


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes letters of one run into its home; `speak` sees to its other places."""

    run: RunId
    where: Conversation

    def post(self, key: str, message: Message, lane: Lane = Lane.FIRST) -> Letter:
        return Letter(key, self.where, message, lane, run=self.run)

    def edit(self, of: str, message: Message, lane: Lane = Lane.FIRST) -> Letter:
        return Letter(last_look(of), self.where, message, lane, edits=of, run=self.run)


def speak(state: State, entry: ev.Entry) -> list[Letter]:
    """The letters that an event causes, by the state just before it. Nothing is said before the run has a place."""
    match entry.event:
        case ev.Opened() as opened if state.seated:
            return _at(_welcome(_Pen(state.run, opened.where), state), state.seated, opened.where)
        case ev.Opened() as opened:
            return _begin(_Pen(state.run, opened.where), state)
        case ev.PlaceLost():
            return []
        case _ if state.where is None:
            return []
        case ev.Said() | ev.Answered() as said:
            return _told_elsewhere(state, entry, said) + _everywhere(state, _speak(state, entry))
        case _:
            return _everywhere(state, _speak(state, entry))


def _everywhere(state: State, letters: list[Letter]) -> list[Letter]:
    return [letter for seat, where in state.seats.items() for letter in _at(letters, seat, where)]


def _at(letters: list[Letter], seat: int, where: Conversation) -> list[Letter]:
    return [
        replace(letter, key=at_seat(letter.key, seat), edits=letter.edits and at_seat(letter.edits, seat), where=where)
        for letter in letters
    ]


def _begin(pen: _Pen, state: State) -> list[Letter]:
    return [pen.post(page_key(pen.run, 1), Message(status="starting" if state.admitted else "queued", tail=True))]


def _welcome(pen: _Pen, state: State) -> list[Letter]:
    """What a place is told that comes later: which run this is, how it looks now, and what it waits for."""
    assert state.launched is not None
    facts = [state.agent.name, state.launched.title, state.phase.value]
    if not state.seats:
        facts.append("its thread is no more, so it goes on here")
    letters = [pen.post(welcome_key(pen.run), Message(status=" · ".join(facts), rings=not state.seats))]
    if state.page_open:
        letters.append(pen.post(page_key(pen.run, state.page), page(state, Moment()), Lane.LIVE))
    asks = state.asks.values()
    return letters + [pen.post(entry_key(pen.run, waiting.key), _question(pen.run, waiting.asked)) for waiting in asks]


def passes(state: State, letter: Letter) -> bool:
    """Whether a letter is of no use in another place: what `_welcome` says there anyway, or what is over by then."""
    welcomed = [entry_key(state.run, waiting.key) for waiting in state.asks.values()]
    asks = any(button.token.startswith(ASK) for button in letter.message.buttons)
    return asks or is_page(letter.key, state.run) or seatless(letter.key) in (welcome_key(state.run), *welcomed)


def _told_elsewhere(state: State, entry: ev.Entry, said: ev.Said | ev.Answered) -> list[Letter]:
    """What a person wrote to the run is read in those of its places where they did not write it."""
    files = said.files if isinstance(said, ev.Said) else ()
    if not said.text or said.by == SYSTEM or entry.key.startswith("again/"):
        return []
    words = Message(text=quoted(said.text), status=f"{said.by.name or said.by.id} wrote", files=files)
    there = said.source.where if said.source else None
    return [
        Letter(at_seat(entry_key(state.run, entry.key), seat), where, words, run=state.run)
        for seat, where in state.seats.items()
        if where != there
    ]


def receipts(state: State, entry: ev.Entry) -> list[tuple[Conversation, Receipt]]:
    """What is shown on people's messages because of an event, by the state just before it."""
    match entry.event:
        case ev.Launched() | ev.Said() | ev.Answered() as said:
            source, got = said.source, Got.SEEN
        case wire.Heard() as heard:
            source, got = state.sources.get(heard.id), Got.REFUSED if heard.error else Got.HEARD
        case _:
            return []
    return [(source.where, Receipt(source.message, got))] if source else []


def _speak(state: State, entry: ev.Entry) -> list[Letter]:
    assert state.where is not None
    run, pen = state.run, _Pen(state.run, state.where)
    match entry.event:
        case wire.TurnStarted() if not state.page_open:
            first_look = Message(status=Phase.WORKING.value, since=entry.at, tail=True)
            return [pen.post(page_key(run, state.page + 1), first_look, Lane.LIVE)]
        case wire.Asked() as asked if asked.ask not in state.answers and asked.ask not in state.asks:
            return [pen.post(entry_key(run, entry.key), _question(run, asked))]
        case ev.Answered() as answered if answered.ask in state.asks:
            who = answered.by.name or answered.by.id
            return [_settled(pen, state, answered.ask, f"{answered.words} ({who})")]
        case wire.AskWithdrawn() as gone if gone.ask in state.asks:
            return [_settled(pen, state, gone.ask, gone.words or "no answer is needed any more")]
        case wire.Heard() as heard if (
            heard.error and heard.id in state.pending
        ):  # of a file's pieces agentd tells itself
            words = f"⚠ the agent did not take this: {heard.error}"
            return [pen.post(entry_key(run, entry.key), Message(status=words, rings=True))]
        case wire.TurnEnded() as ended:
            return _turn_end(pen, state, entry, ended)
        case wire.FilePiece() as piece if piece.last:
            file = File(ArtifactId(piece.sha256), piece.name, piece.size)
            return [pen.post(entry_key(run, entry.key), Message(status=f"file · {piece.name}", files=(file,)))]
        case wire.Noticed() as notice if notice.level == "error" and not state.working:
            return [pen.post(entry_key(run, entry.key), Message(status=f"⚠ {notice.text}", rings=True))]
        case ev.StateLost():
            words = "⚠ the agent's state was lost; it begins again with the task and with everything you said"
            return [pen.post(entry_key(run, entry.key), Message(status=words, rings=True))]
        case ev.Ended() as end:
            return _run_end(pen, state, entry, end)
        case _:
            return []


def _question(run: RunId, asked: wire.Asked) -> Message:
    """An Ask with its buttons. What is asked about is shown as code, so that nothing in it can look like ours."""
    lines = [
        f"- **{plain(choice.label)}**" + (f": {plain(choice.detail)}" if choice.detail else "")
        for pick, choice in enumerate(asked.choices)
        if choice.detail or pick >= MOST_BUTTONS
    ]
    parts = [asked.text, "\n".join(lines)]
    if asked.detail:
        parts.append(asked.detail if asked.kind == "plan" else fenced(asked.detail))
    hint = "several may be chosen: answer with their numbers, like 1 3" if asked.several else "tap, or answer in words"
    buttons = tuple(
        Button(choice.label, ask_token(run, asked.ask, pick), _style(asked, choice.label))
        for pick, choice in enumerate(asked.choices[:MOST_BUTTONS])
    )
    return Message(
        text="\n\n".join(part for part in parts if part),
        status=f"{'permission' if asked.kind == 'permission' else 'question'} · {hint}",
        buttons=buttons,
        rings=True,
    )


def _style(asked: wire.Asked, label: str) -> Style:
    if asked.kind == "question":
        return Style.PLAIN
    if label.lower().startswith(("deny", "keep")):
        return Style.DANGER
    return Style.GOOD if label.lower().startswith(("allow", "approve")) else Style.PLAIN


def _settled(pen: _Pen, state: State, ask: str, words: str) -> Letter:
    waiting = state.asks[ask]
    question = _question(state.run, waiting.asked)
    settled = Message(text=question.text, status=f"answered · {words}")
    return pen.edit(entry_key(state.run, waiting.key), settled, Lane.LIVE)


def _close_page(pen: _Pen, state: State, words: str, *, text: str) -> list[Letter]:
    """The last look of the present page, when there is one that is open."""
    if not state.page_open:
        return []
    if state.page == 1 and state.isolation:
        words = f"{words} · {state.isolation}"
    last = Message(text=text, status=words, log=tuple(state.done), tail=True)
    return [pen.edit(page_key(state.run, state.page), last, Lane.LIVE)]


def _turn_end(pen: _Pen, state: State, entry: ev.Entry, ended: wire.TurnEnded) -> list[Letter]:
    run = state.run
    facts = [OUTCOMES.get(ended.outcome, ended.outcome), span(ended.seconds or entry.at - state.turn_began)]
    if state.done:
        facts.append(f"{len(state.done)} tool{'s' if len(state.done) > 1 else ''}")
    if ended.cost_usd:
        facts.append(dollars(ended.cost_usd))
    final = ended.text.strip()
    last = state.blocks[-1] if state.blocks else ""
    said_twice = bool(final) and (last in final or final in last)
    before = "\n\n".join(list(state.blocks)[:-1]) if said_twice else state.written
    letters: list[Letter] = []  # the answer first: what is above it may be put in order after that
    if ended.error:
        status = f"⚠ {OUTCOMES.get(ended.outcome, ended.outcome)} · {ended.error}"
        letters.append(pen.post(entry_key(run, entry.key), Message(text=final, status=status, rings=True)))
    elif final:
        letters.append(pen.post(entry_key(run, entry.key), Message(text=final, rings=True)))
    letters += [_settled(pen, state, ask, "no answer is needed any more") for ask in state.asks]
    return letters + _close_page(pen, state, " · ".join(facts), text=before)


def _run_end(pen: _Pen, state: State, entry: ev.Entry, end: ev.Ended) -> list[Letter]:
    run = state.run
    why = end.words if end.words.startswith(end.reason) else " · ".join(filter(None, (end.reason, end.words)))
    facts = ["ended", why, f"{end.turns} turn{'' if end.turns == 1 else 's'}"]
    facts += [dollars(end.cost_usd), span(end.seconds)]
    unheard = sum(isinstance(command.order, wire.Say) for command in state.pending.values())
    if unheard:
        facts.append(f"your last {f'{unheard} messages' if unheard > 1 else 'message'} did not reach it")
    again = Button("Launch again", f"again:{run}")
    status = " · ".join(fact for fact in facts if fact)
    letters = [pen.post(entry_key(run, entry.key), Message(status=status, buttons=(again,), rings=True))]
    letters += [_settled(pen, state, ask, "the run ended") for ask in state.asks]
    return letters + _close_page(pen, state, f"ended · {end.reason}", text=state.written)


def bare_end(state: State, entry: ev.Entry) -> list[Letter]:
    """An end told without looking at what the run was: for a run whose state is what went wrong."""
    if state.where is None or not isinstance(entry.event, ev.Ended):
        return []
    status = f"ended · {entry.event.reason} · {entry.event.words}"
    letter = _Pen(state.run, state.where).post(entry_key(state.run, entry.key), Message(status=status, rings=True))
    return _everywhere(state, [letter])


def plain(text: str) -> str:
    """Text that GitHub markdown shows as it is: its punctuation escaped, on one line."""
    return "".join("\\" + c if c in "\\`*_{}[]()#+-.!|<>~&" else c for c in " ".join(text.split()))


def quoted(text: str) -> str:
    """Text as a quote in GitHub markdown."""
    return "\n".join(f"> {line}" for line in text.splitlines())


def fenced(text: str, language: str = "") -> str:
    """Text as a code block whose fence is longer than any run of backticks in it."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
