"""Each kind of credential in pods that really start, and what is told of a login that is shared."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime, Warm
from adapters.kubernetes.checkup import checkup
from adapters.kubernetes.grant import HOME, MASKED
from adapters.kubernetes.seen import see
from agent.agentd.hidden import FOLDER as HIDDEN
from agent.agentd.supervise import Folder
from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Gateway
from tests.kubeapi import Fault, Json, KubeApi
from tests.kubeapi.sorts import SECRETS

RUN = RunId("r-1")
GATEWAY = Gateway("https://gateway.example", lambda run, _: f"the token of {run}")
GUEST = Guest(image="agent:1", gateway=GATEWAY)
HOUR = 3600


def agent(kind: str) -> Agent:
    return Agent(name="claude", driver="claude", credential=kind)


def secret(name: str, **data: str) -> Json:
    kept = {key.replace("__", "."): base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": kept}


def lease(**told: str) -> Json:
    notes = {f"army/{key.replace('_', '-')}": text for key, text in told.items()}
    meta = {"name": "agent-login", "annotations": notes}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {}}


def stored(api: KubeApi, *, hours: float = 8, **told: str) -> None:
    """A login as its refresher leaves it."""
    files = {"claude-credentials.json": json.dumps({"claudeAiOauth": {"accessToken": "at"}}),
             "claude-settings.json": "{}", "opencode-auth.json": '{"x": {"type": "api", "key": "k"}}'}  # fmt: skip
    api.apply(
        secret("agent-login", **files),
        lease(gives="claude,opencode", access_expires=str(int(time.time() + hours * HOUR)), **told),
    )


async def environ(api: KubeApi) -> dict[str, str]:
    """What the agent's process sees; a process that has only just begun shows nothing yet."""
    await api.until(lambda: api.life(RUN).container, within=60)
    container = api.life(RUN).container
    assert container is not None
    path = Path(f"/proc/{container.pid}/environ")
    await api.until(path.read_bytes, within=60)
    return _pairs(path)


def _pairs(path: Path) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in path.read_bytes().decode().split("\0") if "=" in pair)


@pytest.fixture
async def runtime(door: Door) -> KubernetesRuntime:
    return KubernetesRuntime(door, GUEST, longest_pause=0.3, grace_seconds=1.5, come_seconds=0.5)


async def test_a_run_shows_its_own_token_which_goes_with_its_pod(api: KubeApi, runtime: KubernetesRuntime) -> None:
    async with runtime:
        await runtime.start(RUN, agent("gateway"))
        await api.until(lambda: api.life(RUN).container, within=60)
        seen = await environ(api)
        assert (seen["ANTHROPIC_BASE_URL"], seen["ANTHROPIC_AUTH_TOKEN"]) == (GATEWAY.url, f"the token of {RUN}")
        made = api.node.find(api.namespace)("Secret", RUN)
        pod = api.pod(RUN)
        assert made is not None
        assert pod is not None
        assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [pod["metadata"]["uid"]]
        assert "the token of" not in json.dumps(pod)


async def test_a_bot_that_ended_between_the_pod_and_its_token_hands_it_later(
    api: KubeApi, door: Door, runtime: KubernetesRuntime
) -> None:
    api.fail("create secrets", Fault.status(503))
    async with runtime:
        with pytest.raises(Broken):
            await runtime.start(RUN, agent("gateway"))
    assert api.pod(RUN) is not None
    async with KubernetesRuntime(door, GUEST) as later:
        await later.start(RUN, agent("gateway"), again=True)
        await api.until(lambda: api.life(RUN).container, within=60)
        assert (await environ(api))["ANTHROPIC_AUTH_TOKEN"] == f"the token of {RUN}"
        await later.start(RUN, agent("gateway"))
    assert [call.right for call in api.calls].count(("create", "pods")) == 1


async def test_a_token_that_goes_with_a_former_pod_is_made_again(api: KubeApi, runtime: KubernetesRuntime) -> None:
    """The cluster collects what a gone pod owned some time after it: in between, its name is taken."""
    former = secret(RUN, ANTHROPIC_AUTH_TOKEN="that of a former pod")
    api.apply(former)
    api.node.no_room = "1 Insufficient memory."
    async with runtime:
        await runtime.start(RUN, agent("gateway"))
        api.stock.remove(SECRETS, api.namespace, RUN)
        await runtime.start(RUN, agent("gateway"))
        api.node.no_room = ""
        await api.until(lambda: api.life(RUN).container, within=60)
        assert (await environ(api))["ANTHROPIC_AUTH_TOKEN"] == f"the token of {RUN}"
        asked = [call.right for call in api.calls].count(("create", "secrets"))
        await runtime.start(RUN, agent("gateway"))
        assert [call.right for call in api.calls].count(("create", "secrets")) == asked == 2


async def test_no_pod_waits_for_a_token_that_only_a_run_has(api: KubeApi, door: Door) -> None:
    async def usual() -> Agent:
        return agent("gateway")

    async with KubernetesRuntime(door, GUEST, warm=Warm(2, usual)) as runtime:
        await api.until(lambda: "a token of its own" in runtime.warmth().words, within=60)
        assert not api.node.lives()


async def test_a_key_that_the_secret_lacks_is_told(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.apply(secret("agent-credentials", CLAUDE_CODE_OAUTH_TOKEN="the-setup-token"))
    async with runtime:
        await runtime.start(RUN, agent("key"))
        async with asyncio.timeout(60):
            while "ANTHROPIC_API_KEY" not in (words := (await runtime.pods())[RUN].words):  # noqa: ASYNC110 - a watch
                await asyncio.sleep(0.05)
        assert "something that it needs is missing" in words


async def test_an_agent_has_a_home_of_its_own_with_the_access_token(api: KubeApi, runtime: KubernetesRuntime) -> None:
    stored(api)
    async with runtime:
        await runtime.start(RUN, agent("login"))
        await api.until(lambda: api.life(RUN).container, within=60)
    home = Path(api.life(RUN).places.here(HOME))
    oauth = json.loads((home / ".claude/.credentials.json").read_text("utf-8"))["claudeAiOauth"]
    assert oauth == {"accessToken": "at"}
    assert (home / ".claude/.credentials.json").is_symlink(), "what the kubelet renews must be seen"
    assert json.loads((home / ".local/share/opencode/auth.json").read_text("utf-8"))["x"]["key"] == "k"
    assert (home / ".claude/settings.json").is_file()
    (home / ".claude/settings.json").write_text("its own", "utf-8")
    assert not (home / ".config/opencode/opencode.json").exists()


def test_the_names_are_those_of_agentd(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "state", workspace=tmp_path / "work")
    assert str(folder.workplace.home.relative_to(tmp_path)) == HOME.removeprefix("/")
    assert MASKED == HIDDEN


async def test_a_pod_that_was_started_ahead_of_the_login_has_it_later(api: KubeApi, door: Door) -> None:
    async def usual() -> Agent:
        return agent("login")

    api.apply(secret("agent-login"))
    async with KubernetesRuntime(door, GUEST, warm=Warm(1, usual)) as runtime:
        await api.until(lambda: runtime.warmth().ready, within=60)
        with pytest.raises(Refused, match="share no login of claude yet"):
            await runtime.start(RUN, agent("login"))
        stored(api)
        await runtime.start(RUN, agent("login"))
        assert runtime.warmth().hits == 1
    link = Path(api.life(api.of_run(RUN)).places.here(HOME)) / ".claude/.credentials.json"
    assert link.is_symlink()
    assert link.readlink().name == "claude-credentials.json"


async def test_without_a_login_nothing_is_started(api: KubeApi, runtime: KubernetesRuntime) -> None:
    async with runtime:
        with pytest.raises(Refused, match=r"share no login of claude yet\. Log in with the login pod"):
            await runtime.start(RUN, agent("login"))
        stored(api, hours=-1, trouble="invalid_grant, said the server.")
        with pytest.raises(Refused, match=r"run out.*invalid_grant, said the server"):
            await runtime.start(RUN, agent("login"))
    assert api.pod(RUN) is None


async def test_a_login_of_opencode_alone_serves_those_who_run_it(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.apply(secret("agent-login", **{"opencode-auth.json": "{}"}), lease(gives="opencode"))
    async with runtime:
        await runtime.start(RUN, replace(agent("login"), driver="opencode"))
        with pytest.raises(Refused, match="share no login of claude yet"):
            await runtime.start(RunId("r-2"), agent("login"))


async def test_a_run_goes_on_although_its_login_has_run_out(api: KubeApi, runtime: KubernetesRuntime) -> None:
    stored(api)
    async with runtime:
        await runtime.start(RUN, agent("login"))
        stored(api, hours=-1)
        await runtime.start(RUN, agent("login"))


def test_a_home_that_cannot_be_prepared_is_told() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=home"}}
    status = {"phase": "Pending", "initContainerStatuses": [{"name": "home", "state": state}]}
    seen = see({"metadata": {"name": RUN, "uid": "1", "resourceVersion": "1"}, "status": status})
    assert seen.words.startswith("It cannot start: its home cannot be prepared (back-off 10s")


async def test_the_end_of_a_login_is_counted_down(api: KubeApi, door: Door) -> None:
    until = int(time.time() + 17 * 24 * HOUR)
    stored(api, hours=6.5, login_expires=str(until))
    async with KubernetesRuntime(door, GUEST) as runtime:
        access, login = await runtime.credentials.expiries()
    assert (access.name, login.name, login.at) == ("login-access", "login", float(until))
    found = [finding for finding in await checkup(door, GUEST) if finding.what == "credential"]
    assert [finding.good for finding in found] == [True, True]
    assert "login-access is good for 6 h" in found[0].words
    assert "login is good for 16 days" in found[1].words
    stored(api, hours=1, trouble="invalid_grant, said the server.")
    (close,) = [finding for finding in await checkup(door, GUEST) if finding.what == "credential"]
    assert not close.good
    assert "invalid_grant" in close.words


async def test_the_doctor_misses_a_login_that_all_agents_use(door: Door) -> None:
    found = await checkup(door, Guest(image="agent:1", credential="login"))
    (login,) = [finding for finding in found if finding.what == "login"]
    assert login.grave
    assert "share no login of claude yet" in login.words
