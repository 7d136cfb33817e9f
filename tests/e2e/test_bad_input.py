"""What people, programs and disks do wrong: each gets a sentence with what, where and what to do; nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from adapters.local.folder import Folder
from agent.wire import MAX_LINE
from orchestrator.nouns import Agent
from tests.e2e.cast import keep
from tests.e2e.door import command
from tests.product import LOBBY, Look, Product, free_port

ECHO = Agent("echo", "rehearsal", script="echo")
LONG_LINE = b'{"id":"long","do":"say","body":{"text":"' + b"x" * (5 * MAX_LINE) + b'"}}'
RUBBISH = (b"this is no JSON", b'{"id": "half', b"[]", b"\xff\xfe", b'{"kind": 7}', LONG_LINE)


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Product]:
    await keep(tmp_path / "var", ECHO)
    async with Product(tmp_path / "var") as bot:
        yield bot
        assert "Traceback" not in bot.words()


def said_once(*words: str) -> Callable[[list[Look]], bool]:
    """A condition: each of these is an answer of its own, in this order, once."""

    def condition(looks: list[Look]) -> bool:
        return [look.text for look in looks if look.rings and look.text.startswith("echo: ")] == [
            f"echo: {word}" for word in words
        ]

    return condition


def write(pipe: Path, *lines: bytes) -> None:
    """Write into a named pipe that has a reader, however long that takes."""
    descriptor = os.open(pipe, os.O_WRONLY)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, no path
        file.write(b"\n" + b"\n".join(lines) + b"\n")


def folder(bot: Product) -> Folder:
    (path,) = bot.runs()
    return Folder(path)


# --- the pipe -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["in", "out"])
async def test_rubbish_on_a_pipe_is_dropped_told_and_harms_nobody(bot: Product, end: str) -> None:
    me = bot.person()
    run = await me.launch("echo", "one")
    await me.sees(run, said_once("one"))
    pod = folder(bot)
    await asyncio.to_thread(write, pod.into if end == "in" else pod.out, *RUBBISH)
    await me.say(run, "two")
    await me.sees(run, said_once("one", "two"))
    log = pod.log.read_text() if end == "in" else bot.words()
    told = [line for line in log.splitlines() if "dropped" in line]
    assert len(told) == 1, log
    assert "not JSON" in told[0]


async def test_an_unknown_order_on_the_pipe_is_refused_in_the_runs_log(bot: Product) -> None:
    me = bot.person()
    run = await me.launch("echo", "one")
    await me.sees(run, said_once("one"))
    orders = [{"id": "d1", "do": "dance"}, {"id": "s1", "do": "say", "body": {"text": 5}}]
    await asyncio.to_thread(write, folder(bot).into, *(json.dumps(order).encode() for order in orders))
    await me.say(run, "two")
    await me.sees(run, said_once("one", "two"))
    await me.say(run, "/logs 20")
    looks = await me.sees(run, lambda looks: "refused" in looks[-1].text)
    assert "d1 refused: unknown command 'dance'" in looks[-1].text
    assert "s1 refused: say: 'text' is not a str" in looks[-1].text


# --- the chat -------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_done_is_said_with_what_can(bot: Product) -> None:
    me = bot.person()
    for words, answer in (
        ("/dance", "There is no command /dance ."),
        ("/lauch echo hi", "Did you mean /launch ?"),
        ("/launch @nobody do it", "There is no agent @nobody . Agents here: claude , echo , rehearsal ."),
        ("/launch rehersal hi", "Did you mean rehearsal ?"),
        ("/launch claude hi", "The agent claude cannot start: no credential for a model is set. Put ANTHROPIC_API_KEY"),
        ("/stop", "No agent is running."),
        ("/logs", "/logs belongs into a run's thread"),
    ):
        await me.say(LOBBY, words)
        looks = await me.sees(LOBBY, lambda looks: looks[-1].author != "you")
        assert answer in looks[-1].text, looks[-1].text
    status, words = await me.once("/api/send", {"id": "x" * 16, "conversation": LOBBY, "text": "y" * 200_001})
    assert (status, json.loads(words)["words"]) == (
        413,
        "The text has 200,001 characters; 200,000 are the most. Send it as a file.",
    )
    assert bot.runs() == []


async def test_a_task_of_100_000_characters_arrives_whole_and_the_page_stays_light(bot: Product) -> None:
    me = bot.person()
    task = "\n".join(f"line {i:05d} of a very long task, ünd ‹so›" for i in range(2700))[:100_000].strip()
    assert len(task) > 99_990
    run = await me.launch("echo", task)
    looks = await me.sees(run, lambda looks: looks[-1].rings)
    acted = (folder(bot).home / "rehearsal" / "acted.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in acted] == [task]
    assert max(len(look.html) for look in looks) < 50_000
    assert "more characters: the whole text as a file" in looks[-1].html
    assert (await me.text(run, looks[-1])).startswith(f"echo: {task[:90_000]}")
    (said,) = [look for look in await me.looks(LOBBY) if look.author == "you"]
    assert await me.text(LOBBY, said) == f"/launch echo {task}"


# --- the disk -------------------------------------------------------------------------------------------------------


@contextmanager
def full(pid: int, size: int) -> Iterator[None]:
    """No file of this process grows beyond this size, as if the disk were full."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


linux = pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's: a full disk is not tested here")


@linux
async def test_a_full_disk_of_the_bot_loses_nothing(bot: Product) -> None:
    me = bot.person()
    run = await me.launch("echo", "one")
    await me.sees(run, lambda looks: said_once("one")(looks) and "done" in looks[0].text)  # the page has come to rest
    assert bot.process
    before = [look.text for look in await me.looks(run)]
    with full(bot.process.pid, (bot.data / "army.db-wal").stat().st_size):
        body = {"id": "while-it-is-full", "conversation": run, "text": "two"}
        status, words = await me.once("/api/send", body)
        assert status == 503
        told = json.loads(words)["words"]
        assert "disk" in told
        assert str(bot.data / "army.db") in told
        assert [look.text for look in await me.looks(run)][: len(before)] == before
    await me.say(run, "two", id_="while-it-is-full")
    await me.sees(run, said_once("one", "two"))
    await me.say(run, "three")
    await me.sees(run, said_once("one", "two", "three"))


@linux
async def test_a_full_disk_of_an_agent_is_told_on_its_page_and_loses_nothing(bot: Product) -> None:
    me = bot.person()
    run = await me.launch("echo", "one")
    await me.sees(run, said_once("one"))
    pid = folder(bot).holder()
    assert pid
    with full(pid, 0):
        await me.say(run, "two")
        await me.say(run, "three")
        looks = await me.sees("runs", lambda looks: "the pod's disk is full" in looks[0].text)
        assert "the agent waits until there is room again" in looks[0].text
    await me.sees(run, said_once("one", "two", "three"))


@linux
async def test_a_start_on_a_full_disk_says_so_and_works_later(tmp_path: Path) -> None:
    bot = Product(tmp_path / "var")
    await keep(bot.data, ECHO)
    said = await command(bot, "run", under=("prlimit", "--fsize=0"))
    assert said.code == 1
    assert said.err.startswith(f"✗ The disk failed under {bot.data / 'army.db'}")
    async with bot:
        me = bot.person()
        run = await me.launch("echo", "one")
        await me.sees(run, said_once("one"))


@linux
async def test_agentd_comes_back_on_a_full_disk(tmp_path: Path) -> None:
    start = (sys.executable, "-m", "agent.agentd", "--state", str(tmp_path / "state"))
    pipe = asyncio.subprocess.PIPE
    for under in ((), ("prlimit", "--fsize=21")):  # as much as its lock has already
        agentd = await asyncio.create_subprocess_exec(*under, *start, stdin=pipe, stdout=pipe)
        assert agentd.stdin
        assert agentd.stdout
        agentd.stdin.write(b'{"do":"resume"}\n')
        async with asyncio.timeout(10):
            await agentd.stdout.readuntil(b'"beat"')
        assert (tmp_path / "state" / "lock").read_text().split() == [str(agentd.pid)]
        agentd.kill()
        await agentd.wait()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program has the database for itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_database_that_another_program_holds_is_waited_for(bot: Product) -> None:
    me = bot.person()
    run = await me.launch("echo", "one")
    await me.sees(run, said_once("one"))
    with locked(bot.data / "army.db"):
        body = {"id": "while-it-is-held", "conversation": run, "text": "two"}
        status, words = await me.once("/api/send", body)
        assert status == 503
        assert f"Another program keeps {bot.data / 'army.db'} locked. Close what has it open" in words
    await me.say(run, "two", id_="while-it-is-held")
    await me.sees(run, said_once("one", "two"))


# --- the start ------------------------------------------------------------------------------------------------------


async def test_two_bots_do_not_share_a_data_directory_or_a_port(bot: Product, tmp_path: Path) -> None:
    assert bot.process
    second = await command(bot, "run", env={"HTTP_BIND": f"127.0.0.1:{free_port()}"})
    assert second.code == 1
    assert second.err == (
        f"✗ Another bot (process {bot.process.pid}) already uses the data directory {bot.data}. "
        "Stop it first, or give this one a DATA_DIR of its own.\n"
    )
    third = await command(bot, "run", env={"DATA_DIR": str(tmp_path / "other")})
    assert third.code == 1
    assert f"The port {bot.port} on 127.0.0.1 is in use by another program" in third.err
    assert f"set HTTP_BIND to another port, for example 127.0.0.1:{bot.port + 1}." in third.err
    me = bot.person()
    run = await me.launch("echo", "unharmed")
    await me.sees(run, said_once("unharmed"))


async def test_a_database_that_cannot_be_used_is_left_alone_and_named(tmp_path: Path) -> None:
    bot = Product(tmp_path / "var")
    path = bot.data / "army.db"
    await keep(bot.data, ECHO)
    sound = path.read_bytes()

    with locked(path):
        said = await command(bot, "run")
        assert said.code == 1
        assert f"Another program keeps {path} locked." in said.err
    assert path.read_bytes() == sound

    damaged = sound[:4096] + os.urandom(len(sound) - 4096)
    path.write_bytes(damaged)
    said = await command(bot, "run")
    assert said.code == 1
    assert f"The store {path} is damaged" in said.err
    assert "copy a backup to its place" in said.err
    assert path.read_bytes() == damaged

    path.write_bytes(sound)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    said = await command(bot, "run")
    assert said.code == 1
    assert "was written by a newer version of the bot (its format is 99, this one knows" in said.err
    assert "Install the newer version again" in said.err


async def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    bot = Product(tmp_path / "var")
    (tmp_path / ".env").write_text("MAX_RUNS=many\nWEB_TOKN=x\nnonsense\n")
    wrong = {"HTTP_BIND": "everywhere", "MAX_BUDGET_USD": "-1", "RUNTIME": "moon"}
    said = await command(bot, "run", env=wrong | {"MAX_RUNS": "many"})
    assert said.code == 2
    *sentences, last = said.err.splitlines()
    assert all(sentence.startswith("✗ ") for sentence in sentences)
    assert last == "Nothing was started."
    for part in (
        ".env, line 3: this is not NAME=value",
        ".env: WEB_TOKN is not a setting; WEB_TOKEN is meant, probably",
        "HTTP_BIND: 'everywhere' is not an address and a port",
        "MAX_BUDGET_USD: '-1' is not an amount",
        "MAX_RUNS: 'many' is not a number",
        "RUNTIME: 'moon' is neither 'local' nor 'kubernetes'",
    ):
        assert sum(part in sentence for sentence in sentences) == 1, (part, said.err)
    assert not bot.data.exists()

    (tmp_path / ".env").unlink()
    said = await command(bot, "run", env={"HTTP_BIND": "0.0.0.0:0"})
    assert said.code == 2
    assert said.err.startswith("✗ WEB_TOKEN is missing: HTTP_BIND 0.0.0.0:0 can be reached from other machines")
