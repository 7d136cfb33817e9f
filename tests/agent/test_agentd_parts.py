"""agentd's parts by themselves: journal, inbox, shape, printer, uploads, outbox, process groups."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.agentd import journal as journal_module
from agent.agentd.disk import Appender, Patience
from agent.agentd.ears import Ears
from agent.agentd.group import Note, end_group, started_at
from agent.agentd.hidden import Hidden
from agent.agentd.inbox import Inbox
from agent.agentd.journal import Journal
from agent.agentd.outbox import Outbox
from agent.agentd.pipes import Inlet, Outlet, readable
from agent.agentd.printer import Printer
from agent.agentd.process import Process, Reaper
from agent.agentd.shape import cut_text, mask, mask_live, mask_report, secrets_of, sizes
from agent.agentd.uploads import Uploads, safe_name
from agent.driver import Mark, live_tail
from agent.wire import (
    MAX_FILE,
    MAX_LINE,
    PIECE,
    Answer,
    Asked,
    Beat,
    Choice,
    Command,
    FilePiece,
    Finished,
    Frame,
    Heard,
    Interrupt,
    Lines,
    Malformed,
    Noticed,
    Other,
    Put,
    Resume,
    Say,
    Start,
    Stop,
    TextSoFar,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Wrote,
    line_of,
    parse_up,
)  # fmt: skip


def marks(*texts: str) -> list[Mark]:
    return [Mark(Wrote(text), f"ref-{text}") for text in texts]


def read_all(journal: Journal, offset: int) -> list[int]:
    lines = journal.read(offset, 1 << 30).splitlines()
    return [frame.n for frame in map(parse_up, lines) if isinstance(frame, Frame)]


# --- journal ---


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


# --- inbox ---


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


# --- shape ---

SECRET = "sk-secret-0123456789abcdef"


def test_secrets_are_found_by_name_and_length() -> None:
    env = {"ANTHROPIC_API_KEY": "k" * 20, "GITHUB_TOKEN": "t" * 12, "MY_SECRET": "short", "PATH": "/usr/bin:/usr/sbin"}
    assert secrets_of(env) == ("k" * 20, "t" * 12)


def test_passwords_in_urls_are_secrets() -> None:
    env = {"HTTPS_PROXY": "http://me:proxy-password@proxy:3128", "NO_PROXY": "*", "URL": "https://a.example:443/x@y"}
    urls = ("https://x-access-token:ghp_0123456789@host/a.git", "https://ghp_9876543210@host/b.git", "git@host:c.git")
    assert set(secrets_of(env, urls)) == {"proxy-password", "ghp_0123456789", "ghp_9876543210"}


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 60))
def test_no_secret_survives_masking(before: str, after: str, cut: int) -> None:
    text = before + SECRET + after
    assert SECRET not in mask(text, (SECRET,))
    shown = mask_live(TextSoFar(live_tail(text, max(1, len(text) - cut))), (SECRET,)).text
    growing = mask_live(TextSoFar(text[: max(0, len(text) - cut)]), (SECRET,)).text
    for length in range(6, len(SECRET)):
        assert not shown.startswith("…" + SECRET[-length:])
        assert not growing.endswith(SECRET[:length])


def test_a_credential_that_is_renewed_is_hidden_and_so_is_the_old_one(tmp_path: Path) -> None:
    def renew(token: str) -> None:  # as a kubelet does it
        data = tmp_path / f"..{token}"
        data.mkdir()
        (data / "claude.json").write_text(f'{{"claudeAiOauth": {{"accessToken": "{token}", "scopes": ["inference"]}}}}')
        (tmp_path / "..new").symlink_to(data.name)
        (tmp_path / "..new").rename(tmp_path / "..data")

    (tmp_path / "claude.json").symlink_to("..data/claude.json")
    (tmp_path / "other.json").write_text("{torn")
    hidden = Hidden(["x" * 20], folder=str(tmp_path))
    assert hidden.now() == ("x" * 20,)
    renew("token-of-the-morning")
    assert set(hidden.now()) == {"x" * 20, "token-of-the-morning"}
    renew("the-token-of-the-evening")
    assert hidden.now()[0] == "the-token-of-the-evening"
    hidden.know(["y" * 13])
    assert set(hidden.now()) == {"the-token-of-the-evening", "token-of-the-morning", "x" * 20, "y" * 13}
    assert Hidden(["x" * 20], folder=str(tmp_path / "nowhere")).now() == ("x" * 20,)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("claude-settings.json", {"env": {"ANTHROPIC_AUTH_TOKEN": SECRET, "LANG": "C.UTF-8-as-usual"}}),
        ("claude-settings.json", {"env": {"GITHUB_TOKEN": f" {SECRET} "}}),
        ("claude-settings.json", {"env": {"HTTPS_PROXY": f"http://me:{SECRET}@proxy.example:3128"}}),
        ("opencode-config.json", {"mcp": {"x": {"headers": {"Authorization": f"Bearer {SECRET}"}}}}),
        ("opencode-config.json", {"mcp": {"x": {"headers": {"X-Api-Key": SECRET}}}}),
        ("opencode-config.json", {"mcp": {"x": {"environment": {"SOME_API_KEY": SECRET}}}}),
        ("opencode-config.json", {"mcp": {"x": {"command": ["npx", "server", "--api-key", SECRET, "--fast"]}}}),
        ("opencode-config.json", {"mcp": {"x": {"command": ["npx", "server-of-somebody", f"--token={SECRET}"]}}}),
        ("opencode-config.json", {"provider": {"x": {"options": {"apiKey": SECRET, "baseURL": "https://a.example"}}}}),
        ("opencode-mcp-auth.json", {"x": {"clientInfo": {"clientId": "the-client-is-known", "clientSecret": SECRET}}}),
        ("opencode-mcp-auth.json", {"x": {"tokens": {"accessToken": SECRET, "scope": "everything-there-is"}}}),
        ("opencode-auth.json", {"x": {"type": "oauth", "access": SECRET, "accountId": "an-account-of-mine"}}),
    ],
)
def test_whatever_a_login_brings_is_hidden_by_its_name(tmp_path: Path, file: str, text: object) -> None:
    (tmp_path / file).write_text(json.dumps(text))
    hidden = Hidden((), folder=str(tmp_path)).now()
    assert SECRET in hidden
    assert all(SECRET in one for one in hidden), "and nothing else"


def test_masking_reaches_every_text_and_no_identity() -> None:
    asked = Asked(SECRET, "question", f"is {SECRET}?", (Choice(f"yes {SECRET}", SECRET),), detail=SECRET)
    masked = mask_report(asked, (SECRET,))
    assert masked == Asked(SECRET, "question", "is •••?", (Choice("yes •••", "•••"),), detail="•••")
    assert mask_report(Other("x", SECRET), (SECRET,)).body == "•••"


@given(st.text(max_size=60), st.integers(1, 1200))
def test_outputs_are_cut_between_characters_and_every_byte_is_counted(text: str, times: int) -> None:
    output = text * times
    shorter = next(sizes(ToolReturned("c", output=output)))
    assert isinstance(shorter, ToolReturned)
    whole = len(output.encode("utf-8", "replace"))
    kept = len(shorter.output.encode("utf-8", "replace"))
    assert kept <= 16 << 10
    assert kept + shorter.cut == whole


def test_a_cut_text_says_so() -> None:
    assert cut_text("abc", 3) == "abc"
    assert cut_text("a" * 10 + "b" * 10, 4) == "aa\n\n[… 16 characters left out …]\n\nbb"
    last = list(sizes(Wrote("\x00" * 200_000)))[-1]
    assert isinstance(last, Noticed)


async def test_the_worst_text_still_makes_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([Mark(TurnEnded("done", text="\x00" * 300_000), "r" * 100)])  # each character is six bytes of JSON
    line = journal.read(journal.offset_after(0), 1 << 30)
    assert len(line) <= MAX_LINE
    frame = parse_up(line)
    assert isinstance(frame, Frame)
    assert isinstance(frame.report, TurnEnded)


# --- printer ---


class Reader:
    """The other end of a pipe, read only when a test wants it."""

    def __init__(self) -> None:
        self.fd, self.writer = os.pipe()
        os.set_blocking(self.fd, False)
        self.lines = Lines()
        self.got: list[Any] = []
        self.torn = 0

    async def until(self, n: int) -> None:
        """Read until the frame of this number came."""
        async with asyncio.timeout(10):
            while not any(isinstance(one, Frame) and one.n == n for one in self.got):
                self.read()
                await asyncio.sleep(0)

    def read(self) -> None:
        try:
            chunk = os.read(self.fd, 50_000)
        except BlockingIOError:
            return
        for line in self.lines.feed(chunk):
            try:
                self.got.append(parse_up(line))
            except Malformed:
                self.torn += 1

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.writer)


async def test_a_stalled_reader_holds_up_nothing_and_misses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    reader = Reader()
    outlet = Outlet(reader.writer)
    printer = Printer(outlet, journal, patience=Patience(), note=tmp_path / "note")
    async with asyncio.TaskGroup() as tasks:
        printing = tasks.create_task(printer.run())
        for number in range(300):
            journal.append(marks(f"{number}" + "x" * 10_000))
            printer.follow()
            printer.show(TextSoFar(f"live {number}"))
            await asyncio.sleep(0)
        assert len(printer._chunk) <= 64 << 10
        await reader.until(300)
        printer.show(TextSoFar("the newest"))
        async with asyncio.timeout(5):
            while TextSoFar("the newest") not in reader.got:
                reader.read()
                await asyncio.sleep(0.001)
        printing.cancel()
    frames = [one.n for one in reader.got if isinstance(one, Frame)]
    assert frames == list(range(1, 301))
    assert reader.torn == 0
    assert os.get_blocking(reader.writer), "the description that others share is as it was"
    outlet.close()
    reader.close()


async def test_resume_in_the_middle_of_a_long_line_tears_one_line_and_not_two(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([Mark(Wrote("x" * 190_000), ""), *marks("two", "three")])
    reader = Reader()
    outlet = Outlet(reader.writer)
    printer = Printer(outlet, journal, patience=Patience(), note=tmp_path / "note")
    async with asyncio.TaskGroup() as tasks:
        printing = tasks.create_task(printer.run())
        await asyncio.sleep(0.01)  # the pipe is full with a part of the first line
        printer.resume(Resume(journal.epoch, 1))
        await reader.until(3)
        printing.cancel()
    kinds = [one.n if isinstance(one, Frame) else type(one).__name__ for one in reader.got]
    assert kinds == ["Beat", "Beat", 2, 3]
    assert reader.torn == 1
    assert printer.confirmed == 1
    outlet.close()
    reader.close()


async def test_a_new_life_prints_from_where_the_last_one_stood(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(marks("one", "two", "three"))
    note = tmp_path / "note"
    note.write_text(f"{journal.epoch} {journal.offset_after(2)}\n")
    for text, first in (
        (note.read_text(), 3),
        (f"other {journal.offset_after(2)}", 1),
        (f"{journal.epoch} 50", 1),
        ("", 1),
    ):
        note.write_text(text)
        reader = Reader()
        outlet = Outlet(reader.writer)
        printer = Printer(outlet, journal, patience=Patience(), note=note)
        async with asyncio.TaskGroup() as tasks:
            printing = tasks.create_task(printer.run())
            await reader.until(3)
            printing.cancel()
        assert isinstance(reader.got[0], Beat)
        assert reader.got[1].n == first
        outlet.close()
        reader.close()


# --- ears ---


async def test_what_comes_behind_a_dropped_command_waits_for_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.agentd.ears.MOST_WAITING", 2)
    stdin, writer = os.pipe()
    stdout, outlet = os.pipe()
    printer = Printer(Outlet(outlet), Journal(tmp_path / "journal"), patience=Patience(), note=tmp_path / "note")
    ears = Ears(Inlet(stdin), printer)

    async def tell(*ids: str, dropped: int) -> None:
        os.write(writer, b"".join(line_of(Command(id_, Say("x"))) for id_ in ids))
        async with asyncio.timeout(5):
            while printer.dropped < dropped:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(ears.run())
        await tell("one", "two", "three", dropped=1)
        assert (await ears.next()).id == "one"
        await tell("four", dropped=2)
        os.write(writer, line_of(Resume()))
        await tell("three", "four", "five", dropped=4)
        assert [(await ears.next()).id for _ in range(2)] == ["two", "three"]
        listening.cancel()
    for fd in (stdin, writer, stdout, outlet):
        os.close(fd)


# --- files ---


@given(st.text(max_size=300))
def test_a_safe_name_is_one_file_in_one_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert Path("/a", safe).parent == Path("/a")
    assert len(safe.encode("utf-8", "replace")) <= 250
    assert safe == safe_name(safe)


def test_safe_names_keep_what_people_know() -> None:
    assert safe_name("../../etc/pass wd.TXT") == "pass wd.TXT"
    assert safe_name("C:\\temp\\x.png") == "x.png"
    assert safe_name("a" * 300 + ".tar") == "a" * 116 + ".tar"
    assert safe_name("..") == "file"


def test_pieces_may_come_twice_and_not_out_of_order(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)

    def put(offset: int, data: bytes, *, last: bool = False) -> str:
        return uploads.put(Put("a.bin", offset, base64.b64encode(data).decode(), last=last))

    assert put(0, b"abc") == ""
    assert put(3, b"def") == ""
    assert put(3, b"def") == ""
    assert "missing" in put(9, b"x")
    assert not (tmp_path / "a.bin").exists()
    assert put(6, b"g", last=True) == ""
    assert put(6, b"g", last=True) == "", "agentd was killed before it could remember the piece"
    assert "missing" in put(6, b"h", last=True)
    assert "missing" in put(6, b"gh", last=True)
    assert (tmp_path / "a.bin").read_bytes() == b"abcdefg"
    assert put(0, b"new", last=True) == ""
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert "larger" in put(MAX_FILE, b"x")


def test_what_an_agent_put_in_the_way_of_an_upload_is_said(tmp_path: Path) -> None:
    piece = Put("a.bin", 0, base64.b64encode(b"abc").decode(), last=True)
    (tmp_path / "one" / "a.bin").mkdir(parents=True)
    assert "cannot be written" in Uploads(tmp_path / "one").put(piece)
    (tmp_path / "two").write_text("not a folder")
    assert "cannot be written" in Uploads(tmp_path / "two").put(piece)
    assert Uploads(tmp_path / "three" / "tidied away").put(piece) == ""
    assert (tmp_path / "three" / "tidied away" / "a.bin").read_bytes() == b"abc"


def handed(outbox: Outbox, *, turn_over: bool = True) -> list[Any]:
    found: list[Any] = []
    for path in outbox.ready(turn_over=turn_over):
        for mark in filter(outbox.new, outbox.take(path)):
            outbox.remember(mark.ref)
            found.append(mark.report)
        outbox.handed(path)
    return found


def test_an_outbox_hands_over_once_and_a_changed_file_again(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    outbox = Outbox(folder, tmp_path / "copy", secrets=lambda: (SECRET,), refs=())
    (folder / "a.txt").write_text("one")
    assert handed(outbox, turn_over=False) == []  # it may still be growing
    (first,) = handed(outbox)
    assert isinstance(first, FilePiece)
    assert (first.name, first.size, first.last) == ("a.txt", 3, True)
    assert handed(outbox) == []
    reborn = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=[f"file:{first.file}:0"])
    assert handed(reborn) == []
    (folder / "a.txt").write_text("another")
    (second,) = handed(outbox)
    assert second.file != first.file
    (folder / "empty").touch()
    assert handed(outbox)[0].last
    (folder / "pipe.txt").write_text(f"x{SECRET}")
    os.mkfifo(folder / "fifo")
    with (folder / "big").open("wb") as big:
        big.truncate(MAX_FILE + 1)
    words = sorted(report.text for report in handed(outbox))
    assert len(words) == 2
    assert "32 MiB is the most" in words[0]
    assert "credential" in words[1]
    assert handed(outbox) == []


def test_a_tree_in_the_outbox_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.agentd.outbox.MOST_SEEN", 70)
    for number in range(100):
        (tmp_path / str(number)).touch()
    outbox = Outbox(tmp_path, tmp_path.with_name("copy"), secrets=tuple, refs=())
    assert len(outbox.ready(turn_over=True)) == 70


def test_too_many_files_are_said_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, tmp_path.with_name("copy"), secrets=tuple, refs=())
    for number in range(60):
        (tmp_path / f"{number}").touch()
    reports = handed(outbox)
    assert sum(isinstance(report, FilePiece) for report in reports) == 50
    assert sum(isinstance(report, Noticed) for report in reports) == 1


def test_files_of_former_lives_do_not_count_as_too_many(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    outbox = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=())
    refs: list[str] = []
    for turn in range(2):
        for number in range(30):
            (folder / f"{turn}-{number}").write_text(f"{turn} {number}")
        refs += [f"file:{piece.file}:0" for piece in handed(outbox)]
    assert len(refs) == 60
    (folder / "new").write_text("new")
    reborn = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=refs)
    assert [report.name for report in handed(reborn)] == ["new"]


def test_a_hand_over_that_broke_off_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "big").write_bytes(b"x" * (PIECE * 2 + 1))
    outbox = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=())
    (path,) = outbox.ready(turn_over=True)
    outbox.remember(next(outbox.take(path)).ref)
    assert [(piece.offset, piece.last) for piece in handed(outbox)] == [(PIECE, False), (2 * PIECE, True)]
    assert handed(outbox) == []


# --- processes ---

CHILD = "import subprocess,sys,time;p=subprocess.Popen(['sleep','60']);print(p.pid,flush=True);time.sleep(60)"


async def test_a_left_group_is_killed_by_its_note_and_a_stranger_is_not(tmp_path: Path) -> None:
    reaper = Reaper()
    process = Process(reaper, [sys.executable, "-c", CHILD], cwd=tmp_path, env=dict(os.environ))
    await readable(process.out)
    said = process.read()
    assert said
    grandchild = psutil.Process(int(said))
    started = started_at(process.pid)
    assert started
    await end_group(Note(1, process.pid, started + "0"))  # the number was given to another process
    assert not process.exit.done()
    assert grandchild.is_running()
    await end_group(Note(1, process.pid, started))
    assert await process.exit == -signal.SIGKILL
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a note does not name the start of the machine")
async def test_a_group_of_after_a_new_start_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    argv = ["sh", "-c", "sleep 60 & echo $!"]  # the leader is gone, its group is not
    process = Process(Reaper(), argv, cwd=tmp_path, env=dict(os.environ))
    started = started_at(process.pid)
    await process.exit
    left = psutil.Process(int(process.read() or b""))
    await end_group(Note(1, process.pid, "00000000-0000-4000-8000-000000000000 77"))
    assert left.is_running()
    await end_group(Note(1, process.pid, started))
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    process.close()


async def test_a_child_that_reads_nothing_blocks_nobody(tmp_path: Path) -> None:
    process = Process(Reaper(), [sys.executable, "-c", "import time;time.sleep(60)"], cwd=tmp_path, env={})
    process.tell(b"x" * (3 << 20))
    assert process.unread > 2 << 20
    process.kill(signal.SIGKILL)
    assert await process.exit == -signal.SIGKILL
    process.close()


def test_an_appender_cuts_the_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good\ntorn")
    file = Appender(path, size=5)
    file.append(b"more\n")
    assert path.read_bytes() == b"good\nmore\n"
    assert file.read(2, 100) == b"od\nmore\n"
    file.close()
