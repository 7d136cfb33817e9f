from __future__ import annotations

import asyncio
import random

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kubeapi import Break, KubeApi
from tests.kubeapi.client import Client, Heard, pod, shell
from tests.kubeapi.log import Log
from tests.kubeapi.streams import FRAME

ECHO = shell("cat")
TEXT = "Grüße — 你好 🎈\n".encode()


async def test_what_goes_in_comes_out_on_its_channel(kube: Client) -> None:
    await kube.running(pod(command=shell("read a; echo out:$a; echo err:$a >&2; read b; exit 0")))
    async with kube.attach() as socket:
        heard = Heard(socket)
        await socket.send_bytes(b"\0hello\n")
        assert await heard.until(lambda it: it.by[1] == b"out:hello\n" and it.by[2] == b"err:hello\n")
        assert heard.frames[0] == b"\x01"
        await socket.send_bytes(b"\0bye\n")
        await heard.all()
        assert heard.by[3] == b'{"metadata": {}, "status": "Success"}'
        assert socket.close_code == 1000


async def test_nothing_is_said_twice_and_two_hear_the_same(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("echo early; exec cat")))
    await api.until(lambda: list(api.life("r-1").logs[0].lines()))
    async with kube.attach() as one, kube.attach(stdin=False) as two:
        await api.until(lambda: len(api.streams.open) == 2)
        await one.send_bytes(b"\0now\n")
        for socket in (one, two):
            heard = Heard(socket)
            assert await heard.until(lambda it: it.out)
            assert heard.out == b"now\n"
        await two.send_bytes(b"\0not asked for\n")
        await one.send_bytes(b"\0then\n")
        heard = Heard(one)
        assert await heard.until(lambda it: it.out)
        assert heard.out == b"then\n"


@pytest.mark.parametrize("once", [False, True])
async def test_stdin_once(api: KubeApi, kube: Client, *, once: bool) -> None:
    await kube.running(pod(command=shell("cat; echo eof; sleep 60"), stdinOnce=once))
    log = api.life("r-1").logs[0]
    async with kube.attach():
        pass
    if once:
        await api.until(lambda: [line for _, line in log.lines()] == [b"eof\n"])
        return
    await api.until(lambda: not api.streams.open)
    async with kube.attach() as socket:
        await socket.send_bytes(b"\0again\n")
        heard = Heard(socket)
        assert await heard.until(lambda it: it.out == b"again\n")


async def test_it_breaks_after_exactly_so_many_bytes_out(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=ECHO))
    for count in (0, 1, 7, len(TEXT), len(TEXT) + 3):
        for torn in (False, True):
            api.break_next(Break(out=count, torn=torn))
            async with kube.attach() as socket:
                await socket.send_bytes(b"\0" + TEXT * 2)
                heard = Heard(socket)
                assert await heard.all() == (TEXT * 2)[:count]
                assert socket.close_code != 1000
            log = api.life("r-1").logs[0]
            await api.until(lambda log=log: list(log.lines()) and list(log.lines())[-1][1] == TEXT)  # type: ignore[misc]


async def test_it_breaks_after_exactly_so_many_bytes_in(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=ECHO))
    log = api.life("r-1").logs[0]
    for count in (1, 5, 9):
        before = log._size
        api.break_next(Break(into=count))
        async with kube.attach() as socket:
            await socket.send_bytes(b"\0" + TEXT)
            await Heard(socket).all()
        await api.until(lambda want=before + count: log._size == want)  # type: ignore[misc]


async def test_frames_cut_lines_and_characters(api: KubeApi, kube: Client) -> None:
    dice = random.Random(3)
    api.streams.frame_size = lambda: dice.randint(1, 5)
    await kube.running(pod(command=ECHO))
    async with kube.attach() as socket:
        await socket.send_bytes(b"\0" + TEXT * 5)
        heard = Heard(socket)
        assert await heard.until(lambda it: len(it.out) == len(TEXT * 5))
        assert heard.out == TEXT * 5
        assert any(b"\x9f" in frame[1:2] or b"\xbc" in frame[1:2] for frame in heard.frames)


@pytest.mark.parametrize("planned", [False, True])
async def test_a_half_open_connection_answers_no_ping(api: KubeApi, kube: Client, *, planned: bool) -> None:
    await kube.running(pod(command=ECHO))
    if planned:
        api.break_next(Break(out=4, silent=True))
    async with kube.attach(heartbeat=0.4) as socket:
        await socket.send_bytes(b"\0abcd")
        heard = Heard(socket)
        await heard.until(lambda it: len(it.out) == 4)
        await asyncio.sleep(0.6 if not planned else 0)  # while it is whole, pings are answered
        assert not socket.closed
        if not planned:
            api.streams.silence()
        await socket.send_bytes(b"\0more")
        async with asyncio.timeout(5):
            await heard.all()
        assert heard.out == b"abcd"


async def test_idle_connections_are_closed(api: KubeApi, kube: Client) -> None:
    api.streams.idle_seconds = 0.2
    await kube.running(pod(command=ECHO))
    async with kube.attach() as socket:
        async with asyncio.timeout(5):
            await Heard(socket).all()


async def test_a_reader_that_does_not_read_freezes_nobody(api: KubeApi, kube: Client) -> None:
    lines = 300_000
    await kube.running(pod(command=shell(f"read go; seq {lines}; echo done >&2; sleep 60")))
    log = api.life("r-1").logs[0]
    async with kube.attach() as socket:
        await socket.send_bytes(b"\0go\n")
        await api.until(lambda: any(line == b"done\n" for _, line in log.lines()))
        heard = Heard(socket)
        assert await heard.until(lambda it: it.by[2])
        assert heard.out.count(b"\n") == lines
        assert heard.out.startswith(b"1\n2\n3\n")
        assert max(len(frame) for frame in heard.frames) <= FRAME + 1


async def test_a_container_that_does_not_read_holds_only_its_own_writer(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("echo up; sleep 60")))
    async with kube.attach() as socket:
        for _ in range(40):
            await socket.send_bytes(b"\0" + bytes(8192))
        assert (await kube.read())["status"]["phase"] == "Running"
        socket._timeout = aiohttp.ClientWSTimeout(ws_close=0.1)  # the farewell stands behind what nobody takes
    await api.until(lambda: not api.streams.open)


@pytest.mark.parametrize("how", ["down", "cut", "kubelet", "crash"])
async def test_every_end_is_seen(api: KubeApi, kube: Client, how: str) -> None:
    await kube.running(pod(command=ECHO))
    async with kube.attach() as socket:
        await api.until(lambda: api.streams.open)
        match how:
            case "down":
                await api.down()
            case "cut":
                api.streams.cut()
            case "kubelet":
                api.node.die()
            case _:
                api.life("r-1").crash()
        async with asyncio.timeout(5):
            heard = Heard(socket)
            await heard.all()
        assert bool(heard.by[3]) is (how == "crash")
    if how == "kubelet":
        with pytest.raises(aiohttp.WSServerHandshakeError, match="500"):
            async with kube.attach():
                pass
        api.node.revive()
    if how == "down":
        await api.up()
    if how != "crash":
        async with kube.attach() as socket:
            await socket.send_bytes(b"\0still\n")
            assert await Heard(socket).until(lambda it: it.out == b"still\n")


async def test_there_is_nothing_to_attach_to(api: KubeApi, kube: Client) -> None:
    async def status() -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with kube.attach():
                pass
        return caught.value.status

    assert await status() == 404
    await kube.create(pod(command=shell("exit 0")))
    await api.until(lambda: kube.phase() == "Succeeded")
    assert await status() == 500


@settings(max_examples=50)
@given(
    parts=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=9)), max_size=12),
    most=st.integers(1, 12),
)
def test_a_log_read_in_any_steps_is_what_was_said(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, bytes]], most: int
) -> None:
    async def read() -> None:
        log = Log(tmp_path_factory.mktemp("log") / "0")
        place, heard = log.end, {1: b"", 2: b""}
        for stream, data in parts:
            log.add(stream, data)
        while (found := log.read(place, most=most)) is not None:
            stream, data, place = found
            assert 0 < len(data) <= most
            heard[stream] += data
        for channel, data in heard.items():
            assert data == b"".join(said for at, said in parts if at == channel)
        log.close()

    asyncio.run(read())
