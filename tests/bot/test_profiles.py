import pytest

from bot.mistakes import Mistakes
from bot.profiles import read_agents, shipped_agents
from orchestrator.nouns import Agent, Limits


def told(text: str) -> str:
    with pytest.raises(Mistakes) as caught:
        read_agents(text, source="agents.toml")
    return str(caught.value)


def test_the_shipped_ones() -> None:
    rehearsal, claude = shipped_agents()
    assert (rehearsal.name, rehearsal.driver, rehearsal.script) == ("rehearsal", "rehearsal", "welcome")
    assert (claude.name, claude.driver, claude.permission, claude.model) == ("claude", "claude", "autonomous", "sonnet")
    assert all(agent.about for agent in (rehearsal, claude))


def test_everything_can_be_written() -> None:
    text = """
    [reviewer]
    driver = "claude"
    tools = ["Read", "Grep"]
    repositories = ["https://example.org/a.git"]
    budget_usd = 2
    permission = "locked"
    credential = "gateway"
    limits = { life = 3600, idle = 60.5 }
    """
    assert read_agents(text, source="mine.toml") == [
        Agent(
            name="reviewer",
            driver="claude",
            tools=("Read", "Grep"),
            repositories=("https://example.org/a.git",),
            budget_usd=2.0,
            permission="locked",
            credential="gateway",
            limits=Limits(life=3600, idle=60.5),
        )
    ]


def test_an_unknown_credential_is_told_with_those_that_are_known() -> None:
    words = told('[a]\ndriver = "claude"\ncredential = "password"')
    assert words == (
        "agents.toml, agent 'a': credential 'password' is none of key, token, gateway, login; leave it out for "
        "whatever is set."
    )
    assert "credential ['key'] is none of" in told('[a]\ndriver = "claude"\ncredential = ["key"]')


def test_all_mistakes_are_told_with_their_place() -> None:
    words = told(
        """
        flat = 1
        [Loud]
        driver = "claude"
        [a]
        driver = "vim"
        modle = "opus"
        [b]
        permission = "yolo"
        [c]
        driver = "claude"
        tools = "Read"
        [d]
        driver = "claude"
        limits = { lief = 3 }
        """
    )
    for part in ("agent 'flat'", "agent 'Loud'", "'vim'", "'modle' is not known", "'yolo'", "'tools' is not a list",
                 "'limits.lief'", "agents.toml"):  # fmt: skip
        assert part in words


def test_a_missing_driver_is_named() -> None:
    assert "'driver' is missing" in told("[a]\nabout = 'x'")


def test_a_broken_text_is_a_sentence() -> None:
    assert told("[a").startswith("agents.toml: ")
