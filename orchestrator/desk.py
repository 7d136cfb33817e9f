"""The desk: turns what people do into what is written, once for every key, after the gate has let it in.

A decision is made on the run's newest state and stored together with the key of what caused it; only then is anything
done about it. The desk answers through letters. It knows no platform and never waits for an agent.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from agent.wire import Asked
from orchestrator import commands
from orchestrator import events as ev
from orchestrator.board import Boards
from orchestrator.doctor import Doctor
from orchestrator.errors import Refused, Trouble
from orchestrator.gate import Gate
from orchestrator.launches import Launches
from orchestrator.logbook import Logbook
from orchestrator.nouns import Button, Conversation, Inbound, Message, Person, RunId
from orchestrator.offers import Offers
from orchestrator.ports import Store
from orchestrator.replies import Replies, deaf, reply, reply_key
from orchestrator.roster import Roster
from orchestrator.run import State, command_id, short
from orchestrator.runs import Draft, LiveRun

log = structlog.get_logger()

MOST_UNHEARD = 200
"""Messages that may wait for an agent to hear them."""

DEEP_LINK = "l_"
"""What a link to an agent says to `/start` before the agent's name."""


class Desk:
    """Where people's doings arrive."""

    def __init__(
        self,
        *,
        gate: Gate,
        store: Store,
        roster: Roster,
        boards: Boards,
        logbook: Logbook,
        replies: Replies,
        launches: Launches,
        offers: Offers,
        doctor: Doctor,
    ) -> None:
        self._gate = gate
        self._store = store
        self._roster = roster
        self._boards = boards
        self._logbook = logbook
        self._replies = replies
        self._launches = launches
        self._offers = offers
        self._doctor = doctor

    async def receive(self, inbound: Inbound) -> None:
        """Take what a person did; it is stored when this returns. See `orchestrator.ports.Receive`."""
        self._gate.check(inbound.person, inbound.where)
        if len(inbound.text) > commands.MAX_TEXT:
            raise Refused(
                f"A message may have {commands.MAX_TEXT:,} characters and this one has {len(inbound.text):,}. "
                "Send the long part as a file."
            )
        try:
            if inbound.press:
                await self._press(inbound)
            elif inbound.text.startswith("/") and not inbound.quoted:
                await self._command(inbound, commands.read(inbound.text))
            else:
                await self._text(inbound)
        except Refused as why:
            await self._replies.send(inbound, Message(text=str(why)))
        except Trouble:
            raise
        except Exception as error:  # raised, the platform would bring the same again, for ever
            log.exception("a defect kept a wish from being done", key=inbound.key)
            words = f"A defect in the bot kept this from being done ({type(error).__name__}); its log has the details."
            await self._replies.send(inbound, Message(text=words))

    async def _text(self, inbound: Inbound) -> None:
        run = await self._roster.find(inbound.where)
        if run is not None:
            await run.write(lambda state: self._said(state, inbound), once=inbound.key)
            return
        past = await self._store.run_at(inbound.where)
        if past is not None and inbound.where.thread:  # a run that got no thread left nothing behind where it was
            again = Button("Launch again", f"again:{past}")
            words = "This run has ended, so nobody hears you here. `/launch` starts another."
            key = reply_key(inbound) if inbound.addressed else f"re/{past}/over"  # among people it is said once
            await self._replies.send(inbound, Message(text=words, buttons=(again,)), key=key)
        elif inbound.addressed:
            await self._offers.make(inbound)

    def _said(self, state: State, inbound: Inbound) -> Draft | None:
        if state.ended or state.stop:
            return deaf(inbound)
        if state.asks and inbound.text and not inbound.quoted and not inbound.files:
            asked = next(iter(state.asks.values())).asked
            labels = [choice.label for choice in asked.choices]
            chosen = commands.picks(inbound.text, labels, several=asked.several)
            return _answered(inbound, asked, chosen, inbound.text)
        if len(state.pending) >= MOST_UNHEARD:
            words = f"The agent has not heard your last {len(state.pending)} messages yet, so this one was not taken."
            return Draft(letters=[reply(inbound, Message(text=words))])
        id_ = command_id(inbound.key)
        said = ev.Said(
            id_, inbound.text, inbound.person, files=inbound.files, quoted=inbound.quoted, source=inbound.source
        )
        return Draft([(f"in/{id_}", said)])

    # --- buttons -----------------------------------------------------------------------------------------------------

    async def _press(self, inbound: Inbound) -> None:
        verb, _, rest = inbound.press.partition(":")
        match verb:
            case "stop":
                await self._stop(inbound, self._live(rest))
            case "interrupt":
                await self._interrupt(inbound, self._live(rest))
            case "ask":
                await self._pick(inbound, rest)
            case "launch":
                await self._launches.tapped(inbound, rest)
            case "again":
                await self._launches.again(inbound, RunId(rest))
            case "watch":
                await self._watch(inbound, self._live(rest))
            case "say":
                name, _, key = rest.partition(":")
                await self._offers.say(inbound, self._live(name), key)
            case "do":
                name, _, key = rest.partition(":")
                await self._offers.launch(inbound, name, key)
            case _:
                raise Refused("This button is not known here any more.")

    async def _watch(self, inbound: Inbound, run: LiveRun) -> None:
        """The run gets a place on this platform, too."""

        def decide(state: State) -> Draft:
            if any(where.platform == inbound.where.platform for where in state.seats.values()):
                return Draft(letters=[reply(inbound, Message(text="This run has a place here already."))])
            return Draft([(f"watch/{inbound.key}", ev.WatchAsked(inbound.where.outside, inbound.person))])

        await run.write(decide, once=inbound.key)

    async def _pick(self, inbound: Inbound, rest: str) -> None:
        name, _, tail = rest.partition(":")
        ask, _, number = tail.partition(":")
        run = self._live(name)

        def decide(state: State) -> Draft:
            for waiting in state.asks.values():
                asked = waiting.asked
                if short(asked.ask) == ask and number.isdecimal() and int(number) < len(asked.choices):
                    return _answered(inbound, asked, (int(number),), "")
            return Draft(letters=[reply(inbound, Message(text="This question needs no answer any more."))])

        await run.write(decide, once=inbound.key)

    # --- commands ----------------------------------------------------------------------------------------------------

    async def _command(self, inbound: Inbound, typed: commands.Typed) -> None:
        match typed.word:
            case "launch":
                await self._launches.typed(inbound, typed.rest)
            case "stop":
                await self._stop(inbound, await self._here(inbound.where))
            case "interrupt":
                await self._interrupt(inbound, await self._here(inbound.where))
            case "runs":
                await self._boards.post(inbound.where, once=inbound.key)
            case "logs":
                await self._logs(inbound, typed.rest)
            case "doctor":
                await self._doctor.answer(inbound)
            case "start" if typed.rest.startswith(DEEP_LINK):
                await self._launches.confirm(inbound, typed.rest.removeprefix(DEEP_LINK))
            case "help" | "start":
                await self._help(inbound)
            case _:
                raise Refused(commands.unknown(typed.word))

    async def _help(self, inbound: Inbound) -> None:
        agents = await self._launches.ready()
        buttons = tuple(Button(f"Launch {agent.name}", f"launch:{agent.name}") for agent in agents[:8])
        await self._replies.send(inbound, Message(text=commands.help_text(), buttons=buttons))

    async def suggest(self, person: Person, where: Conversation, typed: str) -> Sequence[tuple[str, str]]:
        """Agents that can start here and whose name begins with what is typed. Raises `Refused`."""
        self._gate.check(person, where)
        agents = await self._launches.ready()
        return [(agent.name, agent.about) for agent in agents if agent.name.startswith(typed.strip().lower())]

    async def _stop(self, inbound: Inbound, run: LiveRun) -> None:
        def decide(state: State) -> Draft:
            if state.stop or state.ended:
                return Draft(letters=[reply(inbound, Message(text="This run is ending already."))])
            words = f"stopped by {inbound.person.name or inbound.person.id}"
            return Draft([(f"stop/{inbound.key}", ev.StopAsked(command_id(inbound.key), words, inbound.person))])

        await run.write(decide, once=inbound.key)

    async def _interrupt(self, inbound: Inbound, run: LiveRun) -> None:
        def decide(state: State) -> Draft:
            if not state.working:
                return Draft(letters=[reply(inbound, Message(text="The agent is not working on anything now."))])
            return Draft([(f"int/{inbound.key}", ev.InterruptAsked(command_id(inbound.key), inbound.person))])

        await run.write(decide, once=inbound.key)

    async def _logs(self, inbound: Inbound, rest: str) -> None:
        run = await self._roster.find(inbound.where)
        known = run.id if run else await self._store.run_at(inbound.where)
        if known is None:
            raise Refused("`/logs` belongs into a run's thread: there is no run here.")
        if rest and (not rest.isdecimal() or not 0 < int(rest) <= 1000):
            raise Refused(f"`/logs {rest[:20]}`: a number from 1 to 1000 is wanted, or nothing for the whole log.")
        await self._replies.send(inbound, await self._logbook.read(known, last=int(rest or 0), key=inbound.key))

    # --- which run ---------------------------------------------------------------------------------------------------

    def _live(self, run: str) -> LiveRun:
        live = self._roster.live.get(RunId(run))
        if live is None:
            raise Refused("This run has ended.")
        return live

    async def _here(self, where: Conversation) -> LiveRun:
        """The run of this conversation; in a chat, the only one of that chat."""
        run = await self._roster.find(where)
        if run is not None:
            return run
        here = [run for run in self._roster.live.values() if where.outside in run.chats]
        if len(here) == 1 and not where.thread:
            return here[0]
        some = "Use it in the thread of a run, or tap the button in `/runs`."
        raise Refused(some if self._roster.live else "No agent is running.")


def _answered(inbound: Inbound, asked: Asked, chosen: tuple[int, ...], text: str) -> Draft:
    words = ", ".join(asked.choices[pick].label for pick in chosen) or text[:200]
    id_ = command_id(inbound.key)
    answered = ev.Answered(
        id_, asked.ask, words, inbound.person, picks=chosen, text="" if chosen else text, source=inbound.source
    )
    return Draft([(f"in/{id_}", answered)])
