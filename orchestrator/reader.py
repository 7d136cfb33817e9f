"""The reader of agentd's lines: bytes to frames, whatever carried them. It knows no connection and no run's state."""

from __future__ import annotations

import structlog

from agent.wire import Frame, Lines, Live, Malformed, parse_up

log = structlog.get_logger()


class Reader:
    """Cuts bytes into lines and reads them. What cannot be read is dropped and counted. `name` is for the log."""

    def __init__(self, name: str) -> None:
        self.dropped = 0
        self._name = name
        self._lines = Lines()

    def feed(self, chunk: bytes) -> list[Frame | Live]:
        """The frames that these bytes complete."""
        batch: list[Frame | Live] = []
        overlong = self._lines.dropped
        for text in self._lines.feed(chunk):
            try:
                batch.append(parse_up(text))
            except Malformed as error:
                self._drop(str(error))
        for _ in range(self._lines.dropped - overlong):
            self._drop("a line that is too long")
        return batch

    def _drop(self, why: str) -> None:
        self.dropped += 1
        if self.dropped == 1:  # told once: a flood of bad lines must not become a flood of log
            log.info("unreadable line dropped", run=self._name, why=why)
