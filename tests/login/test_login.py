"""The shared login: who sees what of it, and that nothing is lost when renewing it goes wrong."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from adapters.kubernetes import credentials, grant
from tests.kubeapi import Fault, KubeApi
from tests.login.stage import HOUR, SCRIPT, House, Tokens, login, put

REFUSES = "import sys; sys.exit('invalid_grant')"


async def test_a_login_moves_to_the_claim_and_agents_see_no_refresh_token(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(8, token="the-secret"))
    opencode = {
        "a": {"type": "oauth", "refresh": "the-secret", "access": "at", "expires": 1},
        "b": {"type": "api", "key": "k"},
    }
    put(house.home / ".local/share/opencode/auth.json", opencode)
    put(
        house.home / ".local/share/opencode/mcp-auth.json",
        {
            "x": {
                "tokens": {"refreshToken": "the-secret"},
                "clientInfo": {"clientId": "me", "clientSecret": "the-secret"},
            }
        },
    )
    put(house.home / ".local/share/opencode/opencode.db", "not a login")
    done = await house.run("store")
    assert done.code == 0, done.err
    assert house.oauth()["refreshToken"] == "the-secret"
    assert house.agents_oauth() == {k: v for k, v in house.oauth().items() if not k.startswith("refresh")}
    seen = b"".join(house.published().values()).decode()
    assert "the-secret" not in seen
    assert '"key": "k"' in seen
    assert '"refresh": ""' in seen
    assert not (house.shared / ".local/share/opencode/opencode.db").exists()
    assert not (house.home / ".claude/.credentials.json").exists(), (
        "two homes with one refresh token log each other out"
    )
    modes = {stat.S_IMODE(p.stat().st_mode) for p in house.shared.rglob("*") if p.is_file()}
    assert modes == {0o600}
    assert float(house.told("access-expires")) * 1000 // 1000 == house.oauth()["expiresAt"] // 1000
    assert float(house.told("login-expires")) > 16 * 24 * HOUR
    assert "holderIdentity" not in house.lease()["spec"]


async def test_what_is_gone_from_the_claim_is_gone_for_agents(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(8))
    put(house.home / ".config/opencode/opencode.json", {})
    await house.run("store")
    assert set(house.published()) == {"claude-credentials.json", "opencode-config.json"}
    (house.shared / ".config/opencode/opencode.json").unlink()
    await house.run("renew")
    assert set(house.published()) == {"claude-credentials.json"}


async def test_a_dead_login_of_one_cli_does_not_keep_the_others_from_agents(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(8))
    await house.run("store")
    dead = login(-1)
    dead["claudeAiOauth"] |= {"accessToken": "", "refreshToken": ""}
    put(house.shared / ".claude/.credentials.json", dead)
    put(house.home / ".local/share/opencode/auth.json", {"openai": {"type": "api", "key": "k"}})
    done = await house.run("store")
    assert done.code == 0, done
    assert set(house.published()) == {"claude-credentials.json", "opencode-auth.json"}
    assert house.told("gives") == "claude,opencode"


async def test_nothing_is_stored_when_nobody_is_logged_in(house: House) -> None:
    done = await house.run("store")
    assert done.code == 1
    assert "Nobody is logged in" in done.err
    assert (await house.run("check")).code == 1
    assert (await house.run("renew")).code == 0, "a claim without a login is no failure every hour"
    assert house.told("access-expires") == ""


async def test_what_is_no_text_is_no_reason_to_say_nothing(house: House) -> None:
    put(house.shared / ".claude/.credentials.json", login(1))
    house.cli(r"import os; os.write(2, b'\xff broken'); raise SystemExit(1)")
    done = await house.run("renew")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "broken" in house.told("trouble")


async def test_what_is_good_for_long_is_left_alone(house: House, tokens: Tokens) -> None:
    put(house.shared / ".claude/.credentials.json", login(7))
    done = await house.run("renew")
    assert (done.code, house.oauth()["accessToken"], tokens.spent) == (0, "access-0", [])
    assert house.agents_oauth()["accessToken"] == "access-0"


async def test_what_runs_low_is_renewed_and_agents_get_the_new_one(house: House, tokens: Tokens) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    done = await house.run("renew")
    assert done.code == 0, done.err
    assert house.oauth()["refreshToken"] == tokens.good == "refresh-1"
    assert house.agents_oauth()["accessToken"] == tokens.access
    assert b"refresh-1" not in b"".join(house.published().values())
    assert "7 h" in done.out
    assert (house.told("spending"), house.told("trouble")) == ("", "")


async def test_a_failed_renewal_says_so_and_agents_keep_what_they_have(house: House) -> None:
    before = login(2)
    put(house.home / ".claude/.credentials.json", before)
    await house.run("store")
    house.cli(REFUSES)
    done = await house.run("renew")
    assert done.code == 1
    assert "invalid_grant" in done.err
    assert house.oauth()["expiresAt"] == house.agents_oauth()["expiresAt"] == before["claudeAiOauth"]["expiresAt"]
    assert house.agents_oauth()["accessToken"] == "access-0"
    assert (await house.run("check")).code == 0, "it is good for two more hours"
    assert "invalid_grant" in house.told("trouble")
    assert house.told("spending") == "", "it ended before our eyes: the next one may try"


async def test_a_renewal_that_failed_for_the_moment_works_an_hour_later(house: House, tokens: Tokens) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    url, house.env["TOKENS"] = house.env["TOKENS"], "http://127.0.0.1:1/"
    assert (await house.run("renew")).code == 1
    house.env["TOKENS"] = url
    assert (await house.run("renew")).code == 0
    assert (tokens.spent, house.told("trouble")) == (["refresh-0"], "")


async def test_without_its_cli_nothing_is_spent_and_nothing_changed(house: House) -> None:
    before = login(2)
    put(house.shared / ".claude/.credentials.json", before)
    house.claude.unlink()
    done = await house.run("renew")
    assert (done.code, house.oauth()) == (1, before["claudeAiOauth"])
    assert "cannot be started" in done.err
    assert house.told("spending") == ""


async def test_a_cli_that_blanks_its_token_does_not_blank_the_agents(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(2))
    await house.run("store")
    house.cli("import json, os; open(os.environ['CLAUDE_CONFIG_DIR'] + '/.credentials.json', 'w').write("
              "json.dumps({'claudeAiOauth': {'accessToken': '', 'expiresAt': 1}}))")  # fmt: skip
    assert (await house.run("renew")).code == 1
    assert house.agents_oauth()["accessToken"] == "access-0"


async def test_a_login_that_ran_out_is_found(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(-1))
    await house.run("store")
    done = await house.run("check")
    assert done.code == 1
    assert "run out" in done.err


async def test_what_cannot_be_read_is_told_in_a_sentence(house: House) -> None:
    (house.shared / ".claude").mkdir()
    (house.shared / ".claude/.credentials.json").write_text("{torn", encoding="utf-8")
    done = await house.run("renew")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "Log in again" in done.err


async def test_without_the_cluster_nothing_is_spent(house: House, api: KubeApi, tokens: Tokens) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    await api.down()
    done = await house.run("renew")
    assert (done.code, tokens.spent) == (1, [])
    assert "Are the cluster's API and the NFS server" in done.err


async def test_an_answer_that_is_lost_is_looked_for(house: House, api: KubeApi, tokens: Tokens) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    for request in ("create leases", "update leases", "update leases"):
        api.fail(request, Fault.cut_after())
    done = await house.run("renew")
    assert done.code == 0, done.err
    assert (tokens.spent, house.told("spending")) == (["refresh-0"], "")


async def test_a_mark_that_may_not_stand_means_that_nothing_is_spent(
    house: House, api: KubeApi, tokens: Tokens
) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    api.fail("update leases", Fault.status(503))
    assert (await house.run("renew")).code == 1
    assert (tokens.spent, house.told("spending")) == ([], "")


async def test_its_role_grants_what_it_needs_and_nothing_else(house: House, api: KubeApi) -> None:
    put(house.home / ".claude/.credentials.json", login(1))
    assert (await house.run("store")).code == 0
    assert (await house.run("renew")).code == 0
    needed = {(wish.group, wish.resource, wish.verb) for wish in api.wishes}
    granted = {
        (group, resource, verb)
        for rule in api.rbac
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert needed == granted
    assert {wish.name for wish in api.wishes} == {"agent-login", ""}, "the empty one is that of a new Lease"


def test_both_sides_speak_of_the_same_things() -> None:
    """The bot's adapter and the refresher share no code: one is in the bot's image, the other in the agents'."""
    main = (SCRIPT / "__main__.py").read_text("utf-8")
    for name in (credentials.ACCESS_UNTIL, credentials.LOGIN_UNTIL, credentials.TROUBLE, credentials.GIVES):
        assert f'"{name}"' in main
    assert f'NAME = "{grant.LOGIN}"' in (SCRIPT / "cluster.py").read_text("utf-8")
    keys = set(re.findall(r'"([a-z-]+\.json)"', (SCRIPT / "files.py").read_text("utf-8")))
    assert keys == {Path(path).name for path in re.findall(r'"\$1/([a-z-]+\.json)"', grant.PREPARE)}
