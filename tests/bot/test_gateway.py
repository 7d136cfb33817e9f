"""The token of a run, checked as a gateway checks it; and what the greeting and the doctor say of credentials."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.doctor import examine
from bot.gateway import token
from bot.greeting import greeting
from bot.reading import read_settings
from bot.runtimes import gateway_of, known_expiries
from bot.settings import Settings
from orchestrator.checkup import counted
from orchestrator.nouns import Agent, Limits, RunId
from orchestrator.ports import Expiry

KEY = "k" * 32
AGENT = Agent(name="claude", driver="claude", limits=Limits(life=3600, start=60))
DAY = 86400.0


def claims(word: str, *, key: str = KEY) -> dict[str, Any]:
    """What a gateway reads in it, having checked it."""
    signed, _, signature = word.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(key.encode(), signed.encode(), hashlib.sha256)).rstrip(b"=")
    assert hmac.compare_digest(expected.decode(), signature), "it is not signed with this key"
    head, body = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in signed.split("."))
    assert head == {"alg": "HS256", "typ": "JWT"}
    return dict(body)


def test_it_names_the_run_its_budget_and_its_end() -> None:
    told = claims(token(RunId("r-1"), AGENT, key=KEY, budget_usd=5.0, clock=lambda: 1000.5))
    assert told == {
        "iss": "army", "sub": "r-1", "agent": "claude", "budget_usd": 5.0, "iat": 1000,
        "exp": 1000 + 3600 + 60 + 3600,
    }  # fmt: skip


@pytest.mark.parametrize(("profile", "bot", "told"), [(0.0, 5.0, 5.0), (2.0, 5.0, 2.0), (9.0, 5.0, 5.0)])
def test_its_budget_is_the_smaller_one(profile: float, bot: float, told: float) -> None:
    agent = Agent(name="claude", driver="claude", budget_usd=profile)
    assert claims(token(RunId("r-1"), agent, key=KEY, budget_usd=bot))["budget_usd"] == told


@given(name=st.text(min_size=1, max_size=60), run=st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True))
def test_it_is_one_word_whatever_people_call_their_agents(name: str, run: str) -> None:
    word = token(RunId(run), Agent(name=name, driver="claude"), key=KEY, budget_usd=1.0)
    assert word.isascii()
    assert word.isprintable()
    assert (claims(word)["agent"], claims(word)["sub"]) == (name, run)


def test_another_key_makes_another_token() -> None:
    word = token(RunId("r-1"), AGENT, key="j" * 32, budget_usd=1.0)
    with pytest.raises(AssertionError, match="not signed with this key"):
        claims(word)


def test_the_settings_make_a_gateway() -> None:
    settings = read_settings({
        "GATEWAY_KEY": KEY, "ANTHROPIC_BASE_URL": "https://gateway.example/", "MAX_BUDGET_USD": "3",
        "CREDENTIALS_EXPIRE": "gateway=2030-01-01",
    })  # fmt: skip
    gateway = gateway_of(settings)
    assert gateway is not None
    assert gateway.url == "https://gateway.example"
    assert claims(gateway.token(RunId("r-1"), AGENT))["budget_usd"] == 3.0
    assert KEY not in repr(settings)
    assert gateway_of(Settings()) is None
    assert [expiry.name for expiry in known_expiries(settings)] == ["gateway"]


@pytest.mark.parametrize(
    ("left", "words", "good", "grave"),
    [
        (100 * DAY, "token is good for 100 days, until", True, False),
        (10 * DAY, "token is good for 10 days, until", False, False),
        (5400.0, "token is good for 1 h 30 min, until", False, False),
        (-60.0, "token ran out on", False, True),
    ],
)
def test_a_credential_is_counted_down(left: float, words: str, *, good: bool, grave: bool) -> None:
    finding = counted(Expiry("token", 2e9 + left, "Make a new one."), now=2e9)
    assert finding.words.startswith(words)
    assert finding.words.endswith("Make a new one")
    assert (finding.good, finding.grave) == (good, grave)


@pytest.mark.parametrize(
    ("environ", "words", "grave"),
    [
        ({"ANTHROPIC_API_KEY": "a-key"}, "an API key: set;", False),
        ({"ANTHROPIC_API_KEY": "a-key", "CLAUDE_CODE_OAUTH_TOKEN": "t"}, "an API key and a setup token: set;", False),
        ({"GATEWAY_KEY": KEY, "ANTHROPIC_BASE_URL": "https://g.example"}, "a gateway (https://g.example)", False),
        ({"ANTHROPIC_API_KEY": "a-key", "CREDENTIAL": "token"}, "CREDENTIAL is token, and what it needs", True),
        ({"ANTHROPIC_API_KEY": "a-key", "CREDENTIAL": "login"}, "The credential `login` is the login that", True),
    ],
)
async def test_the_doctor_says_what_local_agents_show(
    tmp_path: Path, environ: dict[str, str], words: str, *, grave: bool
) -> None:
    settings = read_settings({**environ, "DATA_DIR": str(tmp_path / "var")})
    (model,) = [finding for finding in await examine(settings, {}) if finding.what == "model"]
    assert model.words.startswith(words)
    assert model.grave is grave


async def test_the_doctor_counts_down(tmp_path: Path) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 10 * DAY))
    settings = read_settings({"CREDENTIALS_EXPIRE": f"token={day}", "DATA_DIR": str(tmp_path / "var")})
    (ending,) = [finding for finding in await examine(settings, {}) if finding.what == "credential"]
    assert not ending.good
    assert "token is good for 9 days" in ending.words
    assert "claude setup-token" in ending.words


def test_the_greeting_says_which_one_the_clusters_agents_use() -> None:
    settings = read_settings({"RUNTIME": "kubernetes", "CREDENTIAL": "login"})
    assert "its credential is the login that agents share" in greeting(settings, port=1, unavailable={}, runs=0)
