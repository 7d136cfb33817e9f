"""What agentd keeps on the disk by itself: its journal, and the inbox of what it was told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent.agentd import journal as journal_module
from agent.agentd.disk import Appender, Patience
from agent.agentd.inbox import Inbox
from agent.agentd.journal import Journal
from agent.driver import Mark
from agent.wire import (
    Answer,
    Asked,
    Command,
    Finished,
    Frame,
    Heard,
    Interrupt,
    Put,
    Say,
    Start,
    Stop,
    TurnEnded,
    TurnStarted,
    Wrote,
    parse_up,
)  # fmt: skip


def marks(*texts: str) -> list[Mark]:
    return [Mark(Wrote(text), f"ref-{text}") for text in texts]


def read_all(journal: Journal, offset: int) -> list[int]:
    lines = journal.read(offset, 1 << 30).splitlines()
    return [frame.n for frame in map(parse_up, lines) if isinstance(frame, Frame)]


async def test_a_journal_goes_on_with_the_same_epoch_and_the_next_number(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal")
    first.append([Mark(Heard("a"), ""), Mark(TurnStarted(), "t"), Mark(TurnEnded("done", cost_usd=0.25), "e")])
    first.append([Mark(TurnStarted(), "t2"), Mark(Asked("ask", "question", "?"), "q")])
    first.close()
    second = Journal(tmp_path / "journal")
    assert (second.epoch, second.n) == (first.epoch, 5)
    assert second.tally.spent_usd == pytest.approx(0.25)
    assert second.tally.working
    assert second.tally.asks == {"ask"}
    assert second.tally.heard == {"a"}
    assert list(second.refs()) == ["t", "e", "t2", "q"]
    second.append([Mark(TurnEnded("done", cost_usd=1), ""), Mark(Finished("stopped"), "")])
    assert read_all(second, second.offset_after(0)) == [1, 2, 3, 4, 5, 6, 7]
    assert second.tally.finished == Finished("stopped")
    assert not second.tally.working


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_tail_is_forgotten(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    first = Journal(path)
    first.append(marks("one", "two", "three"))
    first.close()
    os.truncate(path, path.stat().st_size - cut)
    second = Journal(path)
    assert second.epoch == first.epoch
    assert second.n == 2
    second.append(marks("again"))
    assert read_all(second, second.offset_after(0)) == [1, 2, 3]


def test_damage_in_the_middle_begins_a_new_epoch_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Journal(path)
    first.append(marks("one", "two", "three"))
    first.close()
    path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":7'))
    second = Journal(path)
    assert second.epoch != first.epoch
    assert second.n == 0
    assert len(list(tmp_path.glob("journal.damaged-*"))) == 1


def test_a_torn_first_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b'{"epoch": "ab')
    journal = Journal(tmp_path / "journal")
    journal.append(marks("one"))
    assert read_all(journal, journal.offset_after(0)) == [1]


async def test_seeking_finds_every_frame_with_a_small_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "STRIDE", 500)
    journal = Journal(tmp_path / "journal")
    for batch in range(20):
        journal.append(marks(*(str(batch) * size for size in range(1, 11))))
    again = Journal(tmp_path / "journal")
    for which in (journal, again):
        assert 10 < len(which._index) < 60
        for after in (0, 1, 2, 50, 99, 198, 199):
            assert read_all(which, which.offset_after(after))[0] == after + 1
        assert which.offset_after(200) == which.offset_after(999) == which.size


async def test_an_append_that_fails_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(marks("one"))
    real, size = os.pwrite, journal.size

    def torn(fd: int, data: Any, offset: int) -> int:
        if offset > size:
            raise OSError(28, "No space left on device")
        return real(fd, data[:30], offset)

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(OSError, match="No space"):
        journal.append(marks("two", "three"))
    assert (journal.n, journal.size, (tmp_path / "journal").stat().st_size) == (1, size, size)
    monkeypatch.setattr(os, "pwrite", real)
    journal.append(marks("two", "three"))
    assert read_all(journal, journal.offset_after(0)) == [1, 2, 3]


async def test_patience_waits_for_room_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.agentd.disk.RETRY_SECONDS", 0.001)
    patience = Patience()
    troubles: list[str] = []
    patience.changed = lambda: troubles.append(patience.trouble)
    answers = iter([OSError(28, "No space left on device")] * 3)

    def write() -> str:
        for error in answers:
            raise error
        return "written"

    assert await patience(write) == "written"
    assert len(troubles) == 2
    assert "full" in troubles[0]
    assert troubles[1] == ""


def test_an_appender_cuts_the_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good\ntorn")
    file = Appender(path, size=5)
    file.append(b"more\n")
    assert path.read_bytes() == b"good\nmore\n"
    assert file.read(2, 100) == b"od\nmore\n"
    file.close()


def test_an_inbox_remembers_ids_and_what_is_not_done(tmp_path: Path) -> None:
    first = Inbox(tmp_path / "inbox")
    start = Start(driver="x", session="s", task="t")
    for id_, order in (
        ("start", start),
        ("say", Say("a")),
        ("late", Say("b")),
        ("yes", Answer("ask", (0,))),
        ("no", Answer("ask", (1,))),
        ("int", Interrupt()),
        ("put", Put("f", 0, "AA==")),
    ):
        first.accept(id_, Command(id_, order))
    first.accept("odd", None, error="unknown")
    first.done("start")
    first.done("say")
    first.done("never heard of")
    first.close()
    with (tmp_path / "inbox").open("ab") as file:
        file.write(b'{"id":"torn"')
    second = Inbox(tmp_path / "inbox")
    assert second.known == {"odd": "unknown"} | dict.fromkeys(["start", "say", "late", "yes", "no", "int", "put"], "")
    assert second.start == ("start", start)
    assert second.inputs == (("late", Say("b")),)
    assert second.answers == {"ask": ("yes", Answer("ask", (0,)))}
    assert second.interrupts == ("int",)
    assert second.stop is None
    second.accept("stop", Command("stop", Stop("enough")))
    assert Inbox(tmp_path / "inbox").stop == ("stop", Stop("enough"))
    assert "AA==" not in (tmp_path / "inbox").read_text()


def test_a_done_mark_that_the_disk_does_not_take_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(tmp_path / "inbox")
    inbox.accept("say", Command("say", Say("a")))
    with monkeypatch.context() as full:
        full.setattr(Appender, "append", _full)
        inbox.done("say")
    assert inbox.inputs == ()
    assert [id_ for id_, _ in Inbox(tmp_path / "inbox").inputs] == ["say"]


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")
