"""No two processes ever spend one refresh token: whoever comes at once, dies, or stands still."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import time
from datetime import UTC, datetime

import pytest

from tests.kubeapi import Fault, KubeApi
from tests.login.stage import RENEWS, House, Tokens, login, put

MARK = hashlib.sha256(b"refresh-0").hexdigest()


@pytest.fixture
def low(house: House) -> House:
    """A login that runs low."""
    put(house.shared / ".claude/.credentials.json", login(1))
    return house


def forgotten(house: House) -> None:
    """The holder of the Lease was heard of an hour ago."""
    lease = house.lease()
    then = datetime.fromtimestamp(time.time() - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    house.api.apply({**lease, "spec": {**lease["spec"], "renewTime": then}})


@pytest.mark.parametrize("number", [2, 4])
async def test_of_those_that_come_at_once_one_spends(low: House, tokens: Tokens, number: int) -> None:
    done = await asyncio.gather(*(low.run("renew") for _ in range(number)))
    assert [one.code for one in done] == [0] * number, done
    assert tokens.spent == ["refresh-0"]
    assert sum("Renewed" in one.out for one in done) == 1
    assert low.agents_oauth()["accessToken"] == tokens.access == "access-1-of-the-vendor"


@pytest.mark.parametrize("seed", range(2))
async def test_over_many_hours_with_a_bad_server_no_token_is_spent_twice(
    low: House, api: KubeApi, tokens: Tokens, seed: int
) -> None:
    chance = random.Random(seed)
    faults = [Fault.cut, Fault.cut_after, Fault.garbled, Fault.status]
    for _ in range(3):
        for request in ("get leases", "create leases", "update leases", "patch secrets"):
            if chance.random() < 0.5:
                api.fail(request, chance.choice(faults)(), times=chance.randint(1, 2))
        await asyncio.gather(*(low.run("renew") for _ in range(2)))
        oauth = low.oauth()
        put(low.shared / ".claude/.credentials.json", {"claudeAiOauth": {**oauth, "expiresAt": 1000}})
    api.faults.clear()
    assert tokens.twice == []
    assert (await low.run("renew")).code == 0
    assert tokens.twice == []
    assert low.agents_oauth()["accessToken"] == tokens.access != ""


async def test_who_waits_for_a_long_renewal_does_not_begin_another(low: House, tokens: Tokens) -> None:
    tokens.may_answer.clear()
    first = asyncio.create_task(low.run("renew"))
    await tokens.asked.wait()
    assert low.told("spending") == MARK
    second = asyncio.create_task(low.run("renew"))
    await low.api.until(lambda: [call.right for call in low.api.calls].count(("get", "leases")) > 3, within=60)
    assert tokens.spent == ["refresh-0"]
    tokens.may_answer.set()
    assert ((await first).code, (await second).code) == (0, 0)
    assert tokens.spent == ["refresh-0"]


async def killed(low: House, tokens: Tokens) -> asyncio.subprocess.Process:
    """A renewal that is dead before the vendor has answered it."""
    tokens.may_answer.clear()
    process = await low.start("renew")
    await tokens.asked.wait()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    return process


async def test_what_a_dead_one_may_have_spent_is_never_tried_again(low: House, tokens: Tokens) -> None:
    await killed(low, tokens)
    forgotten(low)
    later = await low.run("renew")
    assert later.code == 1
    assert "was never heard of again" in later.err
    assert "was never heard of again" in low.told("trouble")
    assert tokens.spent == ["refresh-0"]
    assert (await low.run("renew")).code == 1, "not an hour later either"
    assert tokens.spent == ["refresh-0"]


@pytest.mark.parametrize(
    ("cli", "word"),
    [
        (RENEWS.replace("oauth.update", "os.kill(os.getpid(), 9)\noauth.update"), "It was killed."),
        (RENEWS.replace("oauth.update", "sys.exit(137)\noauth.update"), "It was killed."),
        ("import time; time.sleep(600)", "it said nothing for 1 seconds"),
    ],
)
async def test_what_a_cli_that_was_cut_off_may_have_spent_is_never_tried_again(
    low: House, tokens: Tokens, cli: str, word: str
) -> None:
    low.cli(cli)
    done = await low.run("renew", *(("--seconds", "1") if "sleep" in cli else ()))
    assert done.code == 1
    assert word in done.err
    assert "cut off" in low.told("trouble")
    assert low.told("spending") == MARK
    assert low.oauth()["expiresAt"] > 1, "agents and the next one see the true date"
    spent = list(tokens.spent)
    low.cli(RENEWS)
    assert "was never heard of again" in (await low.run("renew")).err
    assert (tokens.spent, tokens.twice) == (spent, [])
    put(low.home / ".claude/.credentials.json", login(1, token=tokens.good))
    assert (await low.run("store")).code == 0
    assert (await low.run("renew")).code == 0, "another token is another matter"


async def test_a_cli_that_is_killed_when_all_is_done_has_renewed_it(low: House, tokens: Tokens) -> None:
    low.cli(f"{RENEWS}\nos.kill(os.getpid(), 9)")
    done = await low.run("renew")
    assert done.code == 0, done.err
    assert low.agents_oauth()["accessToken"] == tokens.access
    assert low.told("spending") == low.told("trouble") == ""


async def test_what_a_dead_one_has_spent_to_the_end_is_published(low: House, tokens: Tokens) -> None:
    """The CLI goes on when who started it dies, and its pair is on the claim."""
    process = await killed(low, tokens)
    tokens.may_answer.set()
    async with asyncio.timeout(60):
        while low.oauth()["refreshToken"] != "refresh-1":  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)
    await process.communicate()
    forgotten(low)
    assert (await low.run("renew")).code == 0
    assert low.agents_oauth()["accessToken"] == tokens.access == "access-1-of-the-vendor"
    assert tokens.spent == ["refresh-0"]


async def test_who_stood_still_until_another_had_its_lease_spends_nothing(low: House, tokens: Tokens) -> None:
    """Between its last look and its mark: the mark names a version that is no more."""
    low.api.fail("update leases", Fault.slow(2.0))
    first = asyncio.create_task(low.run("renew"))
    await low.api.until(lambda: ("update", "leases") in low.api.rights_used, within=60)
    forgotten(low)
    second = await low.run("renew")
    done = await first
    assert tokens.spent == ["refresh-0"]
    assert second.code == 0, second.err
    assert done.code == 1
    assert "lost to somebody else" in done.err
    assert low.agents_oauth()["accessToken"] == tokens.access == "access-1-of-the-vendor"


async def test_a_pod_that_is_to_go_finishes_what_cannot_be_done_twice(low: House, tokens: Tokens) -> None:
    tokens.may_answer.clear()
    process = await low.start("renew")
    await tokens.asked.wait()
    process.send_signal(signal.SIGTERM)
    tokens.may_answer.set()
    _, err = await process.communicate()
    assert process.returncode == 0, err
    assert low.agents_oauth()["accessToken"] == "access-1-of-the-vendor"


async def test_a_new_login_helps_where_one_was_broken_off(low: House, tokens: Tokens) -> None:
    await low.run("renew")
    lease = low.lease()
    notes = {"army/spending": hashlib.sha256(b"refresh-1").hexdigest()}
    low.api.apply({**lease, "metadata": {**lease["metadata"], "annotations": notes}})
    put(low.shared / ".claude/.credentials.json", login(1, token="refresh-1"))
    assert (await low.run("renew")).code == 1
    put(low.home / ".claude/.credentials.json", login(1, token="refresh-1"))
    assert (await low.run("store")).code == 0
    assert (await low.run("renew")).code == 0
    assert tokens.spent == ["refresh-0", "refresh-1"]


async def test_storing_and_renewing_take_turns(low: House, tokens: Tokens) -> None:
    tokens.may_answer.clear()
    renewing = asyncio.create_task(low.run("renew"))
    await tokens.asked.wait()
    put(low.home / ".claude/.credentials.json", login(8, token="another", access="another-access"))
    storing = asyncio.create_task(low.run("store"))
    await low.api.until(lambda: [call.right for call in low.api.calls].count(("get", "leases")) > 3, within=60)
    assert low.oauth()["refreshToken"] == "refresh-0"
    tokens.may_answer.set()
    assert ((await renewing).code, (await storing).code) == (0, 0)
    assert (low.oauth()["refreshToken"], low.agents_oauth()["accessToken"]) == ("another", "another-access")


async def test_the_punishment_is_real(low: House, tokens: Tokens) -> None:
    """The endpoint itself: the same token once more ends the family, as without a lease it would."""
    env = {"PATH": os.environ["PATH"], **low.env, "CLAUDE_CONFIG_DIR": str(low.shared / ".claude")}
    for hours in (0, 0):
        put(low.shared / ".claude/.credentials.json", login(hours))
        put(low.shared / ".claude/.credentials.json", {"claudeAiOauth": {**low.oauth(), "expiresAt": 1}})
        process = await asyncio.create_subprocess_exec(str(low.claude), env=env, stderr=asyncio.subprocess.DEVNULL)
        await process.wait()
    assert RENEWS in low.claude.read_text("utf-8")
    assert (tokens.twice, tokens.good) == (["refresh-0"], "")
