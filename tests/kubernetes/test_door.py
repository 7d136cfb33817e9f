"""The way into a cluster: credentials that run out, programs that hand them out, kubeconfigs that are none."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.kubernetes import Cluster, Door, Guest, KubernetesRuntime
from adapters.kubernetes.checkup import checkup
from orchestrator.errors import Broken
from tests.contract.listener import AGENT, RUN, attached
from tests.kubeapi import KubeApi

GUEST = Guest(image="agent:1")
VERSION = "client.authentication.k8s.io/v1"


class Plugin:
    """A kubeconfig whose user is whoever this program says; it counts how often it was asked."""

    def __init__(self, api: KubeApi, folder: Path) -> None:
        self._program = folder / "plugin"
        self._told = folder / "told"
        self._asked = folder / "asked"
        self._asked.touch()
        self.kubeconfig = api.kubeconfig(folder / "kubeconfig")
        self.door = Door(namespace=api.namespace, kubeconfig=str(self.kubeconfig))
        self.does(f"echo asked >> {self._asked}; cat {self._told}")
        self.tells(api.token)
        change(
            self.kubeconfig, user={"exec": {"apiVersion": VERSION, "command": str(self._program), "args": ["token"]}}
        )

    @property
    def asked(self) -> int:
        """How often."""
        return len(self._asked.read_text(encoding="utf-8").splitlines())

    def tells(self, token: str) -> None:
        """From now on it gives this token, for some seconds."""
        end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
        status = {"token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
        self._told.write_text(json.dumps(answer), encoding="utf-8")

    def does(self, script: str) -> None:
        """From now on it does this."""
        self._program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        self._program.chmod(0o755)


def change(kubeconfig: Path, *, user: dict[str, Any] | None = None, cluster: Mapping[str, str] | None = None) -> None:
    """Another user, or more to say of the cluster."""
    text = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    if user is not None:
        text["users"][0]["user"] = user
    text["clusters"][0]["cluster"] |= cluster or {}
    kubeconfig.write_text(yaml.safe_dump(text), encoding="utf-8")


@pytest.fixture
def plugin(api: KubeApi, tmp_path: Path) -> Plugin:
    return Plugin(api, tmp_path)


async def test_a_token_that_runs_out_is_asked_for_again(api: KubeApi, plugin: Plugin) -> None:
    async with KubernetesRuntime(plugin.door, GUEST, longest_pause=0.3) as runtime:
        await runtime.start(RUN, AGENT)
        async with attached(runtime):
            pass
        api.token = "that-of-the-next-hour"
        plugin.tells(api.token)
        async with runtime.attach(RUN):
            pass
        await runtime.pods()
        assert plugin.asked == 2


async def test_those_who_find_the_token_old_at_once_ask_for_one_together(api: KubeApi, plugin: Plugin) -> None:
    async with Cluster(plugin.door) as cluster:
        api.token = "that-of-the-next-hour"
        plugin.tells(api.token)
        assert await asyncio.gather(*(cluster.pod(f"r-{number}") for number in range(8))) == [None] * 8
        assert plugin.asked == 2


async def test_a_token_that_is_not_taken_is_not_asked_for_without_end(
    api: KubeApi, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.passage.VAIN_SECONDS", 600.0)
    async with Cluster(plugin.door) as cluster:
        api.token = "one-that-nobody-has"
        for _ in range(5):
            with pytest.raises(Broken, match="does not accept the bot's credential"):
                await cluster.pod(RUN)
        with pytest.raises(Broken, match="does not accept the bot's credential"):
            await cluster.attach(RUN, container="agent")
        assert plugin.asked == 2
        monkeypatch.setattr("adapters.kubernetes.passage.VAIN_SECONDS", 0.0)
        plugin.tells(api.token)
        assert await cluster.pod(RUN) is None


async def test_what_a_program_that_fails_says_is_passed_on(api: KubeApi, plugin: Plugin) -> None:
    async with Cluster(plugin.door) as cluster:
        api.token = "another"
        plugin.does("echo 'the session has ended, log in' >&2; exit 3")
        for _ in range(2):
            with pytest.raises(Broken, match=r"plugin ends with 3: the session has ended, log in\.$") as raised:
                await cluster.pod(RUN)
            assert not raised.value.unsure


async def test_a_kubeconfig_that_was_written_anew_is_read_anew(api: KubeApi, door: Door) -> None:
    async with Cluster(door) as cluster:
        api.token = "after-a-rotation"
        api.kubeconfig(Path(door.kubeconfig))
        assert await cluster.pod(RUN) is None


async def test_streams_outlive_a_change_of_more_than_the_token(api: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, GUEST, longest_pause=0.3) as runtime:
        await runtime.start(RUN, AGENT)
        async with attached(runtime):
            stream = api.streams.open[-1]
            for number in range(2):
                assert stream in api.streams.open
                api.token = f"after-rotation-{number}"
                api.kubeconfig(Path(door.kubeconfig))
                change(Path(door.kubeconfig), cluster={"tls-server-name": f"kubernetes-{number}"})
                await runtime._cluster.page("pods")
                if number == 0:
                    assert stream in api.streams.open
            await api.until(lambda: stream not in api.streams.open, within=60)


async def test_a_program_that_waits_for_a_login_does_not_hang_the_start(
    api: KubeApi, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.door.LOAD_SECONDS", 2.0)
    child = tmp_path / "child"
    plugin.does(f"sleep 600 & echo $! > {child}; wait")
    async with asyncio.timeout(60):
        with pytest.raises(Broken, match="may wait for somebody to log in"):
            async with KubernetesRuntime(plugin.door, GUEST):
                pass
        while _alive(int(child.read_text(encoding="utf-8"))):  # noqa: ASYNC110 - it is nobody's child of ours
            await asyncio.sleep(0.02)
    assert not api.calls


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


async def test_a_program_that_would_ask_hears_nothing(plugin: Plugin) -> None:
    plugin.does("read answer || { echo 'nobody answers' >&2; exit 1; }")
    with pytest.raises(Broken, match="nobody answers"):
        async with Cluster(plugin.door):
            pass


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello", "is no credential"),
        ("echo '[]'", "is no credential"),
        (f"""echo '{{"apiVersion": "{VERSION}", "status": {{}}}}'""", "neither a token nor a certificate"),
        ("""echo '{"apiVersion": "v2", "status": {"token": "x"}}'""", "speaks v2"),
    ],
)
async def test_a_program_that_says_something_else(plugin: Plugin, script: str, words: str) -> None:
    plugin.does(script)
    with pytest.raises(Broken, match=words):
        async with Cluster(plugin.door):
            pass


async def test_a_program_that_is_not_there(plugin: Plugin) -> None:
    change(plugin.kubeconfig, user={"exec": {"apiVersion": VERSION, "command": "/no/such/plugin"}})
    with pytest.raises(Broken, match=r"/no/such/plugin cannot be run: No such file"):
        async with Cluster(plugin.door):
            pass


HTTPS = "https://127.0.0.1:1"
SENSELESS: dict[str, str | dict[str, str]] = {
    "no YAML": "a: [b",
    "nothing": "",
    "a list": "- 1\n",
    "a word": "hello",
    "no text": "\x00",
    "half of it": "apiVersion: v1\nkind: Config\ncurrent-context: test\n",
    "lists that are none": "clusters: 1\nusers: 2\ncontexts: 3\ncurrent-context: test\n",
    "no base64": {"server": HTTPS, "certificate-authority-data": "%"},
    "no certificate": {"server": HTTPS, "certificate-authority-data": base64.b64encode(b"hello").decode()},
    "no certificate's file": {"server": HTTPS, "certificate-authority": "/no/such/file"},
}


def write(kubeconfig: Path, what: str | dict[str, str]) -> None:
    if isinstance(what, str):
        kubeconfig.write_text(what, encoding="utf-8")
    else:
        change(kubeconfig, cluster=what)


@pytest.mark.parametrize("what", SENSELESS)
async def test_a_kubeconfig_that_makes_no_sense(api: KubeApi, door: Door, what: str) -> None:
    kubeconfig = Path(door.kubeconfig)
    write(kubeconfig, SENSELESS[what])
    with pytest.raises(Broken) as raised:
        async with KubernetesRuntime(door, GUEST):
            pass
    assert str(raised.value).startswith(f"The kubeconfig {kubeconfig} leads nowhere: ")
    (finding,) = await checkup(door, GUEST)
    assert finding.grave
    assert f"The kubeconfig {kubeconfig} leads nowhere: " in finding.words
    assert not api.calls


async def test_a_server_that_is_no_address(door: Door) -> None:
    change(Path(door.kubeconfig), cluster={"server": "https://host:port:6443"})
    (finding,) = await checkup(door, GUEST)
    assert finding.grave
    assert "cannot be reached" in finding.words
