"""The real CLI behind a gateway: each run shows a token of its own, which no chat and no log ever sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.claude_cli import claude_bin, needs_cli
from tests.bot.test_gateway import KEY, claims
from tests.product import Product
from tests.stub_api import StubApi

pytestmark = [pytest.mark.cli, needs_cli]


async def test_two_runs_show_two_tokens(tmp_path: Path) -> None:
    async with StubApi() as api:
        env = {
            "GATEWAY_KEY": KEY, "ANTHROPIC_BASE_URL": api.url, "CREDENTIAL": "gateway", "CLAUDE_BIN": str(claude_bin()),
            "ANTHROPIC_API_KEY": "a-key-that-is-not-to-be-shown", "NO_PROXY": "*", "MAX_BUDGET_USD": "0.5",
        }  # fmt: skip
        async with Product(tmp_path / "var", env=env) as bot:
            me = bot.person()
            tokens = set()
            for words in ("one", "two"):
                run = await me.launch("claude", f"[[say: this is {words}]] [[bash: env]]")
                request = await api.seen(lambda request, words=words: f"this is {words}" in request.text())  # type: ignore[misc]
                kind, _, token = request.headers["authorization"].partition(" ")
                assert (kind, "x-api-key" in request.headers) == ("Bearer", False)
                told = claims(token)
                assert told["sub"] in {folder.name for folder in bot.runs()}
                assert (told["agent"], told["budget_usd"]) == ("claude", 0.5)
                tokens.add(token)
                looks = await me.sees(run, lambda looks: any(look.rings for look in looks))
                shown = "".join(look.html for look in looks)
                assert token not in shown
                assert KEY not in shown
            assert len({claims(token)["sub"] for token in tokens}) == 2
        assert not [token for token in tokens if token in bot.words()]
