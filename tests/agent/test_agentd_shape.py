"""What agentd hides and cuts of what an agent says: secrets, outputs, the worst text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.agentd.hidden import Hidden
from agent.agentd.journal import Journal
from agent.agentd.shape import cut_text, mask, mask_live, mask_report, secrets_of, sizes
from agent.driver import Mark, live_tail
from agent.wire import (
    MAX_LINE,
    Asked,
    Choice,
    Frame,
    Noticed,
    Other,
    TextSoFar,
    ToolReturned,
    TurnEnded,
    Wrote,
    parse_up,
)  # fmt: skip

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
