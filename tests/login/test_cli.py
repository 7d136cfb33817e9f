"""The real CLI with a login: that it renews one as the refresher counts on, and goes on when its own is renewed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime
from agent.wire import Frame, Start, Wrote
from orchestrator.nouns import Agent
from tests.agent.claude_cli import claude_bin, needs_cli
from tests.contract.listener import RUN, Listener, attached, command
from tests.kubeapi import EVERYTHING, Image
from tests.kubeapi.command import AGENT_IMAGE
from tests.login.stage import House, login, put
from tests.login.vendor import Vendor, needs_openssl

pytestmark = [pytest.mark.cli, needs_cli, needs_openssl]


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with Vendor(tmp_path / "vendor") as vendor:
        yield vendor


async def test_it_renews_the_login_on_the_claim(house: House, vendor: Vendor) -> None:
    house.claude = Path(str(claude_bin()))
    house.env |= {**vendor.env, "HOME": str(house.home)}
    put(house.shared / ".claude/.credentials.json", login(1))
    done = await house.run("renew")
    assert done.code == 0, done.err
    assert "7 h" in done.out
    assert vendor.spent == ["refresh-0"]
    assert (house.oauth()["refreshToken"], house.agents_oauth()["accessToken"]) == (vendor.good, vendor.access)
    assert "refreshToken" not in house.agents_oauth()
    until = login(1)["claudeAiOauth"]["refreshTokenExpiresAt"] / 1000
    assert abs(float(house.told("login-expires")) - until) < 600, "the sign-in's own end is not put off"


async def test_two_at_once_let_it_renew_once(house: House, vendor: Vendor) -> None:
    house.claude = Path(str(claude_bin()))
    house.env |= {**vendor.env, "HOME": str(house.home)}
    put(house.shared / ".claude/.credentials.json", login(1))
    done = await asyncio.gather(house.run("renew"), house.run("renew"))
    assert [one.code for one in done] == [0, 0], done
    assert vendor.spent == ["refresh-0"]


async def test_a_login_that_is_refused_is_told(house: House, vendor: Vendor) -> None:
    house.claude = Path(str(claude_bin()))
    house.env |= {**vendor.env, "HOME": str(house.home)}
    put(house.shared / ".claude/.credentials.json", login(1, token="spent-elsewhere"))
    done = await house.run("renew")
    assert done.code == 1
    assert "was not renewed" in done.err
    assert "was not renewed" in house.told("trouble")


class Cli:
    """A CLI that goes on living, in a home whose login is a link to what a kubelet renews."""

    def __init__(self, folder: Path) -> None:
        self._secret, self.config = folder / "secret", folder / "home" / ".claude"
        self._secret.mkdir()
        self.config.mkdir(parents=True)
        (self.config / ".credentials.json").symlink_to(self._secret / "claude-credentials.json")
        (self._secret / "claude-credentials.json").symlink_to("..data/claude-credentials.json")
        self._process: asyncio.subprocess.Process | None = None

    def renew(self, access: str, *, hours: float) -> None:
        """Put another token there, as a kubelet does it: what agents get, without what renews it."""
        oauth = {
            key: value for key, value in login(hours, access=access)["claudeAiOauth"].items() if "refresh" not in key
        }
        put(self._secret / f"..{access}" / "claude-credentials.json", {"claudeAiOauth": oauth})
        (self._secret / "..new").symlink_to(f"..{access}")
        (self._secret / "..new").rename(self._secret / "..data")

    @asynccontextmanager
    async def living(self, env: dict[str, str]) -> AsyncIterator[None]:
        own = {"PATH": os.environ["PATH"], "HOME": str(self.config.parent), "CLAUDE_CONFIG_DIR": str(self.config)}
        self._process = await asyncio.create_subprocess_exec(
            str(claude_bin()), "-p", "--input-format=stream-json", "--output-format=stream-json", "--verbose",
            "--model=haiku", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
            env={**own, **env},
        )  # fmt: skip
        try:
            yield
        finally:
            self._process.kill()
            await self._process.communicate()

    async def say(self, text: str) -> dict[str, Any]:
        """The result of a turn."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"type": "user", "message": {"role": "user", "content": text}})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(90):
            while line_back := await self._process.stdout.readline():
                told: dict[str, Any] = json.loads(line_back)
                if told["type"] == "result":
                    return told
        raise AssertionError("it ended")


@asynccontextmanager
async def outlived(tmp_path: Path, vendor: Vendor) -> AsyncIterator[Cli]:
    """A CLI that has asked once, and whose token has run out since."""
    cli = Cli(tmp_path)
    cli.renew("access-0", hours=2)
    async with cli.living(vendor.env):
        assert (await cli.say("one"))["result"] == "asked with access-0"
        vendor.access = "access-1"
        yield cli


async def test_a_run_that_outlives_its_token_goes_on_with_the_renewed_one(tmp_path: Path, vendor: Vendor) -> None:
    async with outlived(tmp_path, vendor) as cli:
        cli.renew("access-1", hours=8)
        assert (await cli.say("two"))["result"] == "asked with access-1"
        assert (await cli.say("three"))["result"] == "asked with access-1"
    assert vendor.spent == []
    assert (cli.config / ".credentials.json").is_symlink(), "it has written nothing there"


async def test_without_what_renews_it_a_token_that_has_run_out_is_only_refused(tmp_path: Path, vendor: Vendor) -> None:
    async with outlived(tmp_path, vendor) as cli:
        refused = await cli.say("two")
    assert refused["is_error"]
    assert refused["api_error_status"] == 401
    assert vendor.spent == [], "there was nothing to spend"


@pytest.mark.skipif(sys.platform != "linux", reason="its paths lead through /proc")
async def test_a_pod_asks_its_model_with_the_login_that_the_refresher_renewed(
    tmp_path: Path, house: House, vendor: Vendor
) -> None:
    """All of it: the CLI renews, the Secret is published, a pod starts, and agentd's CLI finds its login at home."""
    house.claude = Path(str(claude_bin()))
    house.env |= {**vendor.env, "HOME": str(house.home)}
    put(house.shared / ".claude/.credentials.json", login(1))
    done = await house.run("renew")
    assert done.code == 0, done.err
    api = house.api
    api.rbac = EVERYTHING
    paths = {"NODE_EXTRA_CA_CERTS": vendor.env["NODE_EXTRA_CA_CERTS"], "CLAUDE_BIN": str(claude_bin())}
    outside = {name: f"/proc/self/root{path}" for name, path in paths.items()}  # /tmp and /work are the pod's own
    api.node.images["agent:*"] = Image(AGENT_IMAGE.entrypoint, {**AGENT_IMAGE.env, **vendor.env, **outside})
    door = Door(namespace=api.namespace, kubeconfig=str(api.kubeconfig(tmp_path / "kubeconfig")))
    async with KubernetesRuntime(door, Guest(image="agent:1")) as runtime:
        await runtime.start(RUN, Agent(name="claude", driver="claude", credential="login"))
        listener = Listener()
        async with attached(runtime) as session:
            start = Start(driver="claude", session=str(uuid4()), task="hello", model="haiku")
            await session.send(command(start))
            assert await listener.hear(session, lambda it: any("asked with" in told(frame) for frame in it.frames))
        await runtime.stop(RUN)
    said = "".join(told(frame) for frame in listener.frames)
    assert "asked with •••" in said, "what it shows to its model is masked in what it says"
    assert vendor.access == "access-1-of-the-vendor"
    assert vendor.spent == ["refresh-0"]


def told(frame: Frame) -> str:
    """What an agent wrote."""
    return frame.report.text if isinstance(frame.report, Wrote) else ""
