"""What happened, read off everything that can be read: the chat as a person sees it, the database, agentd's own journal
and the rehearsal's list of what it acted on. All of it must tell one story.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from agent.agentd.group import read_note, started_at
from agent.wire import CliStarted, FilePiece, Frame, Heard, Report, TurnEnded, parse_up
from orchestrator import events as ev
from tests.chaos.cast import Talker, Thread
from tests.product import Look, Product


@dataclass
class Told:
    """A conversation as it stands in the chat: the messages by what they are."""

    typed: list[str]
    finals: list[str]
    questions: list[str]
    replies: list[str]
    pages: list[str]
    files: list[str]
    ends: list[str]


def read(looks: Sequence[Look]) -> Told:
    """Sort the messages of a thread. Replies are the only ones without a status and without a ring."""
    told = Told([], [], [], [], [], [], [])
    for look in looks:
        status = "".join(re.findall(r'class="status-words">([^<]*)<', look.html))
        if look.author == "you":
            told.typed.append(look.text)
        elif look.raw["opens"] or look.raw["board"]:
            continue
        elif look.rings and status.startswith("ended"):
            told.ends.append(status)
        elif status.startswith(("question", "answered")):
            told.questions.append(look.text)
        elif look.rings:
            told.finals.append(look.text)
        elif status.startswith("file"):
            told.files.append(status)
        elif status and not status.startswith("Start an agent"):
            told.pages.append(status)
        else:
            told.replies.append(look.text)
    return told


def is_reply(reply: str, command: str) -> bool:
    """Whether this is what answers that command."""
    match command.split():
        case ["/help"]:
            return reply.startswith("/launch [agent] <task>")
        case ["/logs", "3"]:
            return re.match(r"text Copy \d\d:\d\d:\d\d ", reply) is not None
        case ["/logs", "many"]:
            return reply.startswith("/logs many : a number from 1 to 1000")
        case ["/logs"]:
            return "belongs into a run's thread" in reply
        case ["/interrupt"]:
            return "Use it in the thread of a run" in reply
        case [word] if word.startswith("/"):
            return reply.startswith(f"There is no command {word} .")
        case _:
            return command in reply and "Start an agent on this?" in reply


async def settled(product: Product) -> bool:
    """Whether nothing is under way any more: no letter, no command, nobody working or asking."""
    async with aiohttp.ClientSession() as http, http.get(f"{product.url}/metrics") as answer:
        text = await answer.text()
    values = {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    }
    busy = [
        values[f'army_runs{{phase="{phase}"}}'] for phase in ("queued", "starting", "working", "asking", "stopping")
    ]
    return not any((*busy, values["army_waiting_letters"], values["army_unheard_commands"]))


def at_rest(data: Path, states: Mapping[str, Path]) -> bool:
    """Whether nothing more will be written by itself: each run's CLI is up, and the bot has all that agentd told.

    An agentd that was killed while its run was idle comes back at any time, and what it then says is owed, too.
    """
    with closing(sqlite3.connect(f"file:{data / 'army.db'}?mode=ro", uri=True)) as db:
        rows = dict(db.execute("SELECT run, count(*) FROM journal WHERE key LIKE 'f/%' GROUP BY run").fetchall())
    return all(_up(state) == rows.get(run, 0) for run, state in states.items())


def _up(state: Path) -> int:
    """How many frames agentd has written when the CLI that it started last has told that it is there; -1 before."""
    note = read_note(state / "cli")
    if (
        not _agentd_lives(state)
        or not note.pid
        or started_at(note.pid) != note.started
        or not (state / "journal").exists()
    ):
        return -1
    written = list(reports(state / "journal"))
    last = next((report.attempt for report in reversed(written) if isinstance(report, CliStarted)), 0)
    return len(written) if last == note.attempt else -1


def _agentd_lives(state: Path) -> bool:
    """Whether the agentd of this folder is there; one that was killed leaves its CLI behind for a moment."""
    try:
        return psutil.Process(int((state / "lock").read_text())).status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


def check_thread(thread: Thread, looks: Sequence[Look]) -> int:
    """Everything of this thread stands once and in order. Returns how many finals there are."""
    told = read(looks)
    assert told.typed == thread.typed, f"{thread.place}: the person's own words"
    commands = [command for command in thread.commands if command != "/stop"]
    assert len(told.replies) == len(commands), f"{thread.place}: {told.replies} for {commands}"
    wrong = [
        (reply, command) for reply, command in zip(told.replies, commands, strict=True) if not is_reply(reply, command)
    ]
    assert not wrong, f"{thread.place}: {wrong}"
    moving = [look.text for look in looks if look.raw["live"]]
    assert not moving, f"{thread.place}: pages without a last look: {moving}"
    assert len(told.ends) == int(thread.stopped), f"{thread.place}: {told.ends}"
    if thread.stopped:
        return len(told.finals)
    match thread.agent:
        case "single":
            assert told.finals == [f"echo: {text}" for text in thread.said], thread.place
            assert told.files == ["file · plan.txt"], thread.place
        case "mixed":
            heard = re.findall(r"mixed\d+-\d+", " ".join(told.finals))
            assert heard == thread.said, thread.place
        case _:
            assert [text.partition("May I do ")[2].partition("?")[0] for text in told.questions] == thread.said[1:]
            first, *others = thread.said
            assert told.finals == [f"ready for {first}", *(f"{thread.answers[text]} to {text}" for text in others)]
    assert len(told.pages) == len(told.finals), f"{thread.place}: {told.pages}"
    assert all(page.startswith("done") for page in told.pages), f"{thread.place}: {told.pages}"
    return len(told.finals)


def check_lobby(talker: Talker, looks: Sequence[Look]) -> None:
    """Each command got one reply, each launch one thread, each /runs one dashboard, of which the last one lives."""
    told = read(looks)
    assert told.typed == talker.lobby.typed
    commands = [command for command in talker.lobby.commands if command != "/runs"]
    assert len(told.replies) == len(commands), f"{told.replies} for {commands}"
    wrong = [pair for pair in zip(told.replies, commands, strict=True) if not is_reply(*pair)]
    assert not wrong
    opened = [look.text.removesuffix("Open thread").strip() for look in looks if look.raw["opens"]]
    assert sorted(opened) == sorted(talker.titles)
    asked = talker.lobby.commands.count("/runs")
    assert told.pages == ["the dashboard has moved down"] * (asked - 1)
    boards = [look for look in looks if look.raw["board"]]
    assert len(boards) == min(1, asked)


def boards_are_true(talker: Talker, looks: Sequence[Look]) -> bool:
    """Every dashboard shows every run, and that nothing is under way."""
    boards = [look for look in looks if look.raw["board"]]
    phases = [re.findall(r'class="phase (\w+)"', board.html) for board in boards]
    return all(len(shown) == len(talker.titles) and set(shown) == {"idle", "ended"} for shown in phases)


@dataclass(frozen=True)
class Sums:
    """How much was checked."""

    runs: int
    frames: int
    finals: int
    letters: int


def check_others(talker: Talker, finals: Sequence[Sequence[str]]) -> None:
    """Runs that were launched by a tap did their one task."""
    tasks = [title for title in talker.titles if title not in {thread.said[0] for thread in talker.threads}]
    assert sorted(map(list, finals)) == sorted([f"echo: {task}"] for task in tasks)


def check_disk(data: Path, threads: Sequence[Thread], *, states: Mapping[str, Path] | None = None) -> Sums:
    """The journal has no gap and is agentd's own; the agent acted once on everything; every letter was delivered.

    `states` says where each run's agentd keeps its state, where that is not below the data directory.
    """
    said = {thread.said[0]: thread.said for thread in threads}
    frames = finals = 0
    with closing(sqlite3.connect(f"file:{data / 'army.db'}?mode=ro", uri=True)) as db:
        letters = db.execute("SELECT run, key, edits, message_id, lost FROM outbox ORDER BY seq").fetchall()
        assert [letter for letter in letters if letter[3] is None or letter[4] is not None] == []
        runs = [run for (run,) in db.execute("SELECT run FROM journal WHERE kind = 'launched'")]
        for run in runs:
            posted = [(key, message_id) for of, key, edits, message_id, _ in letters if of == run and not edits]
            check_order([message_id for _, message_id in posted])
            check_order([int(key.split("/")[3]) for key, _ in posted if key.startswith(f"{run}/f/")])
            state = data / "runs" / run / "state" if states is None else states.get(run, data / "gone")
            rows = db.execute("SELECT key, kind, body FROM journal WHERE run = ? ORDER BY seq", (run,))
            words, n, ends = check_journal(rows, reports(state / "journal") if state.exists() else None)
            frames, finals = frames + n, finals + ends
            if state.exists():
                did = acted(state)
                assert did == words, f"{run} acted on {did}"
                assert did == said.get(did[0], did[:1]), f"{run} acted on {did}"
    return Sums(len(runs), frames, finals, len(letters))


def check_order(numbers: Sequence[Any]) -> None:
    """They rise: what was written first stands first, and what the agent said first was written first."""
    assert list(numbers) == sorted(set(numbers))


def check_journal(rows: Iterable[tuple[str, str, str]], theirs: Iterator[Report] | None) -> tuple[list[str], int, int]:
    """A run's frames have no gap and are agentd's, one by one. Returns what was said, how many frames and finals."""
    said: list[str] = []
    told: list[str] = []  # ids of commands,
    heard: list[str] = []  # and of those that agentd accepted: the same, and that which began the session
    epochs: set[str] = set()
    n = finals = 0
    for key, kind, body in rows:
        event = ev.read(kind, body)
        said += _words(event)
        match event:
            case ev.Said() | ev.Answered() | ev.StopAsked():
                told.append(event.id)
            case Heard(error=""):
                heard.append(event.id)
            case Heard():
                raise AssertionError(f"refused: {event}")
            case _:
                pass
        if key.startswith("f/"):
            _, epoch, number = key.split("/")
            epochs.add(epoch)
            n += 1
            assert int(number) == n, f"a gap: {number} where {n} belongs"
            assert theirs is None or event == next(theirs, None), f"frame {n} is not what agentd has"
            finals += isinstance(event, TurnEnded)
    assert len(epochs) <= 1
    assert heard[1:] == told
    assert len(set(heard)) == len(heard)
    more = list(theirs or ())
    assert not more, f"agentd has more than {n} frames: {more}"
    return said, n, finals


def _words(event: ev.Event) -> tuple[str, ...]:
    match event:
        case ev.Launched():
            return (event.task,)
        case ev.Said():
            return (event.text,)
        case _:
            return ()


def acted(state: Path) -> list[str]:
    """What the rehearsal acted on, in order."""
    lines = (state / "home" / "rehearsal" / "acted.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def reports(journal: Path) -> Iterator[Report]:
    """Everything in agentd's own journal; files without their content, as the bot keeps them."""
    with journal.open("rb") as file:
        file.readline()  # the epoch
        for line in file:
            if not line.endswith(b"\n"):  # it is being written just now
                return
            frame = parse_up(line)
            assert isinstance(frame, Frame)
            yield replace(frame.report, data="") if isinstance(frame.report, FilePiece) else frame.report
