"""What `/logs` answers: a run's journal in lines that a person can read."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from agent import wire
from orchestrator import events as ev
from orchestrator.letters import fenced
from orchestrator.nouns import File, Message, RunId
from orchestrator.ports import Artifacts, Store

DEFAULT_LINES = 30
SHOWN = 3_000
"""Characters of log lines in a message; the file has all of them."""


class Logbook:
    """Reads journals for people."""

    def __init__(self, *, store: Store, artifacts: Artifacts) -> None:
        self._store = store
        self._artifacts = artifacts

    async def read(self, run: RunId, *, last: int, key: str) -> Message:
        """The last events as text; with 0 the newest ones and the journal as a file, whose upload is named by `key`."""
        newest: deque[str] = deque(maxlen=last or DEFAULT_LINES)
        upload, size = f"log/{run}/{key}", 0
        async for entries in self._store.journal(run):
            lines = [line_of(entry) for entry in entries]
            newest.extend(line.partition("\n")[0][:200] for line in lines)
            if not last:
                data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")[: wire.MAX_FILE - size]
                for start in range(0, len(data), wire.PIECE):
                    await self._artifacts.piece(upload, size + start, data[start : start + wire.PIECE])
                size += len(data)
        text = fenced("\n".join(newest)[-SHOWN:])
        if last or not size:
            return Message(text=text)
        artifact = await self._artifacts.complete(upload)
        return Message(text=text, files=(File(artifact, f"{run}.log", size),))


def line_of(entry: ev.Entry) -> str:
    """One event as a line (its further lines are indented)."""
    at = datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S")
    return f"{at} {wire.kind_of(entry.event):14} {_words(entry.event)}".rstrip().replace("\n", "\n    ")


def _words(event: ev.Event) -> str:
    match event:
        case ev.Launched():
            return f"{event.agent.name}, by {event.by.name or event.by.id}: {event.task}"
        case ev.Said():
            return f"{event.by.name or event.by.id}: {event.text}"
        case ev.Answered():
            return f"{event.by.name or event.by.id}: {event.words}"
        case ev.Ended():
            return f"{event.reason}: {event.words}"
        case ev.StopAsked() | ev.Restarted():
            return event.words
        case wire.Wrote() | wire.Thought():
            return event.text
        case wire.Asked():
            return f"{event.text} {event.detail} [{' | '.join(choice.label for choice in event.choices)}]"
        case wire.ToolCalled():
            return f"{event.name}: {event.summary}"
        case wire.ToolReturned():
            return ("" if event.ok else "failed: ") + event.output
        case wire.TurnEnded():
            return f"{event.outcome} ${event.cost_usd:.4f} {event.error or event.text}"
        case wire.Noticed():
            return f"{event.level} {event.code}: {event.text}"
        case wire.CliStarted():
            return f"{event.cli} {event.version} {event.model} (attempt {event.attempt})"
        case wire.CliDied() | wire.Finished():
            return event.words
        case wire.FilePiece():
            return f"{event.name} from {event.offset}" + (" (whole)" if event.last else "")
        case wire.Heard():
            return event.id + (f" refused: {event.error}" if event.error else "")
        case wire.Other():
            return event.type
        case _:
            return ""
