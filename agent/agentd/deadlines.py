"""How long agentd waits for what, in one place. A test makes all of it shorter at once."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds."""

    interrupt: float = 2.0  # for the turn to end, before the CLI is asked to close
    end: float = 10.0  # for the CLI to close when it was asked to
    term: float = 3.0  # for it to go after SIGTERM
    deaf: float = 10.0  # for an interrupt to work on a CLI that fell silent
    last_words: float = 1.0  # for output that is still in the pipe when the CLI has ended
    backoff: float = 0.2  # before the first new start; doubles with each death
    longest_backoff: float = 30.0
    grace: float = 20.0  # for a reader to come back for the end of the story
    part: float = 1.0  # for somebody to take what agentd prints before it leaves
    room: float = 10.0  # between two looks at what the pod has taken of its disk, at the least

    def times(self, pace: float) -> Deadlines:
        """All of them multiplied."""
        return Deadlines(*(getattr(self, field.name) * pace for field in fields(self)))
