"""Plays a cluster and the agents in it, in one process: `python -m tests.bench.kubernetes_cluster KUBECONFIG`.

It measures the bot, not hundreds of interpreters: the API server of the tests, whose containers are `Stand`s that
speak the pipe as agentd does (numbered frames, resume, each command heard once, beats). It is told what to do by JSON
lines on stdin and answers each with one on stdout. Moments are seconds of the monotonic clock, which processes share.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.wire import (
    BEAT_SECONDS,
    Beat,
    CliStarted,
    Frame,
    Heard,
    Lines,
    Report,
    Resume,
    Start,
    ToolCalled,
    ToolReturned,
    TurnStarted,
    Wrote,
    line_of,
    parse_down,
)  # fmt: skip
from tests.bench.pods import OUTPUT, PROSE
from tests.kubeapi import KubeApi
from tests.kubeapi.container import Container
from tests.kubeapi.log import STDOUT, Log
from tests.kubeapi.sorts import PODS

PIECE = 64 << 10


class Stand(Container):
    """A container that is no process: agentd, as far as the other end of the pipe can tell."""

    def __init__(self, log: Log, cast: dict[str, Stand]) -> None:
        super().__init__(log)
        self.resumed = 0.0
        self.journal: list[bytes] = []
        self._epoch = uuid.uuid4().hex
        self._cast = cast
        self._known: set[str] = set()
        self._lines = Lines()
        self._over = asyncio.Event()
        self._code = 0

    async def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: bool) -> None:
        del argv, cwd, stdin
        self._cast[env["HOSTNAME"]] = self

    async def run(self) -> int:
        await self._over.wait()
        self.log.finish()
        return self._code

    @property
    def pid(self) -> int:
        return 0

    def kill(self, number: signal.Signals) -> None:
        self._code = 128 + number
        self._over.set()

    async def write(self, data: bytes) -> bool:
        now = time.monotonic()
        for line in self._lines.feed(data):
            told = parse_down(line)
            if isinstance(told, Resume):
                self.resumed = now
                self.beat()
                self._print(self.journal[told.after if told.epoch == self._epoch else 0 :])
            elif told.id not in self._known:
                self._known.add(told.id)
                self.report(Heard(told.id))
                if isinstance(getattr(told, "order", None), Start):
                    self.report(CliStarted("bench", "s", "1.0", "none"), TurnStarted())
        return not self._over.is_set()

    def close_stdin(self) -> None:
        """There is none."""

    def report(self, *reports: Report, quiet: bool = False) -> None:
        """Journal and print; `quiet`: whoever wants it asks for it."""
        first = len(self.journal)
        for one in reports:
            self.journal.append(line_of(Frame(len(self.journal) + 1, self._epoch, time.time(), one)))
        if not quiet:
            self._print(self.journal[first:])

    def work(self, upto: int, *, quiet: bool) -> None:
        """Go on with the turn until there are so many frames."""
        for n in range(len(self.journal), upto):
            match n % 3:
                case 0:
                    self.report(ToolCalled(f"call-{n}", "Bash", "make test TEST=listen"), quiet=quiet)
                case 1:
                    self.report(ToolReturned(f"call-{n - 1}", output=OUTPUT[:200]), quiet=quiet)
                case _:
                    self.report(Wrote(PROSE[:150]), quiet=quiet)

    def beat(self) -> None:
        """Say that it lives."""
        self.log.add(STDOUT, line_of(Beat(self._epoch, len(self.journal)), at=time.time()))

    def _print(self, lines: Sequence[bytes]) -> None:
        text = b"".join(lines)
        for at in range(0, len(text), PIECE):
            self.log.add(STDOUT, text[at : at + PIECE])


class Cluster:
    """The server, its stands, and the orders of the bench."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._stands: dict[str, Stand] = {}
        self._play(real=False)

    async def beats(self) -> None:
        """Beat for everybody, for ever."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for stand in self._stands.values():
                stand.beat()

    async def obey(self, order: Mapping[str, Any]) -> object:
        """One order."""
        match order["do"]:
            case "play":
                self._play(real=order["real"])
            case "hollow":
                self._api.node.hollow = order["hollow"]
            case "work":
                for run in order.get("runs") or list(self._stands):
                    self._stands[run].work(order["frames"], quiet=order["quiet"])
            case "resumed":
                return [stand.resumed for stand in self._stands.values()]
            case "running":
                return sum(pod.object["status"]["phase"] == "Running" for pod in self._api.stock.all(PODS))
            case "frames":
                return sum(len(stand.journal) for stand in self._stands.values())
            case "calls":
                calls, self._api.calls = self._api.calls, []
                return {
                    "counts": Counter(" ".join(call.right) for call in calls),
                    "created": [call.at for call in calls if call.right == ("create", "pods")],
                    "attached": [call.at for call in calls if call.resource == "pods/attach"],
                }
            case "touch":
                return await self._touch(order["times"])
            case unknown:
                raise ValueError(unknown)
        return None

    def _play(self, *, real: bool) -> None:
        self._api.node.container = Container if real else lambda log: Stand(log, self._stands)

    async def _touch(self, times: int) -> int:
        """Change one pod after the other; returns the bytes of what a watch is told."""
        names = [
            (pod.object["metadata"]["namespace"], pod.object["metadata"]["name"]) for pod in self._api.stock.all(PODS)
        ]
        size = 0
        for number in range(times):
            pod = self._api.stock.get(PODS, *names[number % len(names)]).object
            meta = {**pod["metadata"], "annotations": {**pod["metadata"]["annotations"], "bench": str(number)}}
            size += len(self._api.stock.replace(PODS, {**pod, "metadata": meta}).raw)
            await asyncio.sleep(0)
        return size


async def main() -> None:
    """Obey until stdin ends."""
    stdin = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    async with KubeApi() as api:
        cluster = Cluster(api)
        print(json.dumps(api.settings(Path(sys.argv[1]))), flush=True)
        beating = asyncio.create_task(cluster.beats())
        while line := await stdin.readline():
            print(json.dumps(await cluster.obey(json.loads(line))), flush=True)
            if beating.done():
                beating.result()
        beating.cancel()


if __name__ == "__main__":
    asyncio.run(main())
