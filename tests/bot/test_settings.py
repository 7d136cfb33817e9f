from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.dotenv import read_dotenv
from bot.mistakes import Mistakes
from bot.reading import load_settings, read_settings
from bot.runtimes import way
from bot.settings import NAMES, Bind, Secret, Settings, guest_environment, held_credentials
from bot.values import PARSERS

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def mistakes(environ: dict[str, str], dotenv: str = "") -> tuple[str, ...]:
    with pytest.raises(Mistakes) as caught:
        read_settings(environ, dotenv)
    return caught.value.sentences


def test_nothing_set_is_the_embedded_default() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.http_bind, settings.runtime, settings.data_dir) == (Bind("127.0.0.1", 30080), "local", Path("var"))
    assert not settings.has_model


def test_every_setting_is_in_the_example_and_the_other_way_round() -> None:
    values, wrong = read_dotenv(EXAMPLE.read_text())
    assert not wrong
    assert list(values) == list(NAMES) == list(PARSERS)
    assert read_settings({}, EXAMPLE.read_text()) == Settings(), "the example as it is changes nothing"


def test_every_line_of_the_example_stands_below_an_explanation() -> None:
    for block in EXAMPLE.read_text().split("\n\n"):
        lines = block.splitlines()
        assert lines[0].startswith("#"), f"without an explanation: {block}"


def test_everything_can_be_set() -> None:
    settings = read_settings(
        {
            "TELEGRAM_TOKEN": "123:abc",
            "TELEGRAM_ALLOWED_USERS": "7, 8",
            "TELEGRAM_ALLOWED_CHATS": "-100200 5",
            "TELEGRAM_API_BASE": "http://127.0.0.1:8081/",
            "DISCORD_TOKEN": "tok",
            "DISCORD_ALLOWED_GUILDS": "1",
            "DISCORD_ALLOWED_ROLES": "2",
            "DISCORD_API_BASE": "http://127.0.0.1:8082/api/v10",
            "DISCORD_GATEWAY_URL": "ws://127.0.0.1:8082/gateway",
            "HTTP_BIND": "[::]:8080",
            "WEB_TOKEN": "let-me-in",
            "ANTHROPIC_API_KEY": "sk-ant-1",
            "DATA_DIR": "/srv/army",
            "MAX_BUDGET_USD": "2.50",
            "WARM_PODS": "3",
            "AGENT_DISK": "512Mi",
            "MAX_RUNS": "9",
            "LOG_LEVEL": "debug",
        }
    )
    assert settings.telegram_allowed_users == {"7", "8"}
    assert settings.telegram_allowed_chats == {"-100200", "5"}
    assert settings.telegram_api_base == "http://127.0.0.1:8081"
    assert settings.http_bind == Bind("::", 8080)
    assert str(settings.http_bind) == "[::]:8080"
    assert (settings.max_budget_usd, settings.max_runs, settings.log_level) == (2.5, 9, "DEBUG")
    assert (settings.warm_pods, settings.agent_disk) == (3, "512Mi")
    assert settings.data_dir == Path("/srv/army")
    assert settings.has_model
    assert {secret.reveal() for secret in settings.secrets} == {"123:abc", "tok", "let-me-in", "sk-ant-1"}


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes(
        {
            "HTTP_BIND": "everywhere",
            "MAX_RUNS": "many",
            "MAX_BUDGET_USD": "-1",
            "RUNTIME": "moon",
            "KUBE_NAMESPACE": "My Agents",
            "RUNTIME_CLASS": "Kata FC",
            "AGENT_IMAGE": "agent image",
            "AGENT_DISK": "much",
            "WARM_PODS": "51",
            "LOG_LEVEL": "loud",
            "TELEGRAM_TOKEN": "hello",
            "TELEGRAM_ALLOWED_USERS": "@somebody",
            "TELEGRAM_TOKN": "123:abc",
        },
        "FOO=1\nnot a line\nDATA_DIR='x\n",
    )
    text = "\n".join(told)
    for name in ("HTTP_BIND", "MAX_RUNS", "MAX_BUDGET_USD", "RUNTIME:", "LOG_LEVEL", "TELEGRAM_TOKEN:",
                 "KUBE_NAMESPACE:", "RUNTIME_CLASS:", "AGENT_IMAGE:", "AGENT_DISK:", "WARM_PODS:",
                 "TELEGRAM_ALLOWED_USERS", "TELEGRAM_TOKN", "FOO", "line 2", "line 3"):  # fmt: skip
        assert name in text
    assert len(told) == 16
    assert all(sentence.endswith(".") for sentence in told)


@pytest.mark.parametrize("bind", ["0.0.0.0:30080", "[::]:30080", "10.0.0.5:1", "army.example:30080"])
def test_a_bind_beyond_loopback_needs_a_token(bind: str) -> None:
    (told,) = mistakes({"HTTP_BIND": bind})
    assert told.startswith("WEB_TOKEN is missing")
    assert read_settings({"HTTP_BIND": bind, "WEB_TOKEN": "x"}).http_bind.port > 0


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.8.8.8:80", "[::1]:30080", "localhost:30080"])
def test_a_bind_on_loopback_needs_none(bind: str) -> None:
    assert read_settings({"HTTP_BIND": bind}).http_bind.loopback


@pytest.mark.parametrize("bind", [":30080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:-1"])
def test_a_bind_that_is_none(bind: str) -> None:
    (told,) = mistakes({"HTTP_BIND": bind})
    assert "127.0.0.1:30080" in told, "the sentence shows what a good one looks like"


def test_a_platform_with_a_token_needs_people_or_a_server() -> None:
    assert len(mistakes({"TELEGRAM_TOKEN": "1:a"})) == 1
    (told,) = mistakes({"DISCORD_TOKEN": "a"})
    assert told.startswith("DISCORD_ALLOWED_GUILDS is missing")
    assert read_settings({"DISCORD_TOKEN": "a", "DISCORD_ALLOWED_GUILDS": "1"}).discord_allowed_guilds == {"1"}


@pytest.mark.parametrize(
    "environ",
    [
        {"TELEGRAM_API_BASE": "http://10.0.0.5:8081"},
        {"TELEGRAM_API_BASE": "ftp://127.0.0.1"},
        {"DISCORD_API_BASE": "http://example.test/api/v10", "DISCORD_GATEWAY_URL": "wss://example.test/gateway"},
        {"DISCORD_API_BASE": "http://127.0.0.1:1/api/v10"},
        {"DISCORD_GATEWAY_URL": "ws://127.0.0.1:1/gateway"},
        {"TELEGRAM_WEBHOOK_URL": "https://army.example.test"},
        {"TELEGRAM_WEBHOOK_SECRET": "0123456789abcdef"},
        {"TELEGRAM_WEBHOOK_URL": "https://army.example.test", "TELEGRAM_WEBHOOK_SECRET": "short"},
    ],
)
def test_a_token_goes_only_where_it_was_clearly_meant_to_go(environ: dict[str, str]) -> None:
    assert mistakes(environ)


def test_probable_typos_are_named_and_strangers_left_alone() -> None:
    (told,) = mistakes({"TELEGRAM_ALOWED_USERS": "7"})
    assert "TELEGRAM_ALLOWED_USERS" in told
    (told,) = mistakes({}, "MAX_RUN=3")
    assert "MAX_RUNS" in told
    strangers = {
        "KUBE_EDITOR": "vi",
        "DISCORD_WEBHOOK": "x",
        "ANTHROPIC_AUTH_TOKEN": "b",
        "TERM": "dumb",
    }
    assert read_settings(strangers) == Settings()


def test_the_way_to_the_cluster_is_a_setting_like_any_other() -> None:
    environ = {"HOME": "/home/ann"}

    def leads(dotenv: str, **more: str) -> str:
        return way(read_settings({**environ, **more}, dotenv), {**environ, **more})[0].kubeconfig

    assert leads("") == "/home/ann/.kube/config"
    assert leads("KUBECONFIG=/etc/rancher/k3s/k3s.yaml") == "/etc/rancher/k3s/k3s.yaml"
    assert leads("KUBECONFIG=/a", KUBECONFIG="/b:/c") == "/b:/c"


def test_the_environment_wins_even_when_empty() -> None:
    assert read_settings({"MAX_RUNS": "2"}, "MAX_RUNS=3").max_runs == 2
    assert read_settings({"WEB_TOKEN": ""}, "WEB_TOKEN=abc").web_token == Secret()


def test_a_secret_never_shows() -> None:
    settings = read_settings({"WEB_TOKEN": "let-me-in", "ANTHROPIC_API_KEY": "sk-ant-1"})
    assert "let-me-in" not in repr(settings)
    assert "sk-ant-1" not in f"{settings.anthropic_api_key} {settings.anthropic_api_key!r}"
    assert "hello\x00" not in "".join(mistakes({"WEB_TOKEN": "hello\x00"}))


def test_a_local_agent_gets_its_credential_and_no_other() -> None:
    environ = {"WEB_TOKEN": "web", "TELEGRAM_TOKEN": "1:a", "TELEGRAM_ALLOWED_USERS": "1", "ANTHROPIC_API_KEY": "key",
               "CLAUDE_BIN": "/opt/claude", "HTTPS_PROXY": "http://proxy:1", "AWS_SECRET": "no"}  # fmt: skip
    settings = read_settings(environ)
    assert guest_environment(settings, environ) == {"CLAUDE_BIN": "/opt/claude", "HTTPS_PROXY": "http://proxy:1"}
    assert held_credentials(settings) == {"ANTHROPIC_API_KEY": "key"}


def test_when_credentials_run_out_is_read_as_days() -> None:
    settings = read_settings({"CREDENTIALS_EXPIRE": "token=2027-11-26, key=2027-03-01"})
    assert settings.credentials_expire == (("key", 1803859200.0), ("token", 1827187200.0))
    for wrong in ("2027-11-26", "token=26.11.2027", "password=2027-11-26", "token=2027-02-30"):
        (sentence,) = mistakes({"CREDENTIALS_EXPIRE": wrong})
        assert "like token=2027-11-26" in sentence


def test_a_gateway_that_knows_runs_needs_its_address_and_its_key() -> None:
    (sentence,) = mistakes({"GATEWAY_KEY": "k" * 32})
    assert sentence.startswith("ANTHROPIC_BASE_URL is missing")
    (sentence,) = mistakes({"CREDENTIAL": "gateway", "ANTHROPIC_BASE_URL": "https://gateway.example"})
    assert sentence.startswith("GATEWAY_KEY is missing")
    (sentence,) = mistakes({"CREDENTIAL": "password"})
    assert "key, token, gateway, login" in sentence
    settings = read_settings({"GATEWAY_KEY": "k" * 32, "ANTHROPIC_BASE_URL": "https://gateway.example"})
    assert settings.has_model


def test_a_file_is_read_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / ".env") == Settings()
    (tmp_path / ".env").write_text("MAX_RUNS=7 # seven\n")
    assert load_settings({}, tmp_path / ".env").max_runs == 7
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(Mistakes, match="cannot be read"):
        load_settings({}, tmp_path / ".env")


def test_lines_of_a_dotenv() -> None:
    text = """
    # a comment
    A=1
    export B = two words   # and a comment
    C='#3 $A'  # quoted
    D="it's"
    E=
    F= # empty
    G=a#b
    """
    values, wrong = read_dotenv(text)
    assert values == {"A": "1", "B": "two words", "C": "#3 $A", "D": "it's", "E": "", "F": "", "G": "a#b"}
    assert not wrong


@pytest.mark.parametrize("line", ["A", "=1", "1A=2", "A='x", 'A="x" y', "A=1\nA=2"])
def test_lines_that_are_none(line: str) -> None:
    _, wrong = read_dotenv(line)
    assert len(wrong) == 1
    assert wrong[0].startswith(".env, line")


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    read_dotenv(text)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z_]{0,10}", fullmatch=True),
        st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="'\"#")),
    )
)
def test_plain_values_come_back_as_they_were(values: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    assert read_dotenv(text) == (values, [])


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20)))
@example({"DATA_DIR": "~nobody-of-this-name/army"})
def test_any_values_give_settings_or_sentences(environ: dict[str, str]) -> None:
    try:
        read_settings(environ)
    except Mistakes as told:
        assert told.sentences  # noqa: PT017 - either outcome is fine, nothing else is
