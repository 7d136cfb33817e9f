"""What the doctor says about Telegram: each finding is one sentence with what, where and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from adapters.telegram.checkup import NO_WAY, SECONDS, checkup
from adapters.telegram.line import Line
from orchestrator.checkup import Finding
from tests.botapi import BotApi, Fault, Kind
from tests.botapi.world import RIGHTS
from tests.telegram_chat.scene import GROUP, Scene, until

pytestmark = pytest.mark.looptime

ACCEPTED = "✓ telegram     the token is accepted; the bot is @army_bot"
ENTRY = f"⚠ telegram     chat {GROUP} of TELEGRAM_ALLOWED_CHATS: "
HERE = f"⚠ telegram     “Group” ({GROUP}): "
ADD = "Add @army_bot there, or take the entry out"
NO_TOPICS = (
    "the group has no topics, so runs are chains of replies there. For a topic each, switch Topics on in its settings "
    "and make the bot an admin that may manage topics"
)


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi() as api:
        yield api


async def findings(
    api: BotApi, *, chats: Collection[int] = (), webhook_url: str = "", token: str = ""
) -> list[Finding]:
    async with Line(token or api.token, api_base=api.url) as line:
        return await checkup(line, chats=chats, webhook_url=webhook_url)


async def said(api: BotApi, *, chats: Collection[int] = (), webhook_url: str = "") -> list[str]:
    """What a person reads, without the three lines about a bot's account that every look begins with."""
    found = [str(finding) for finding in await findings(api, chats=chats, webhook_url=webhook_url)]
    assert found[0] == ACCEPTED
    return found[3:]


async def test_a_bot_with_nothing_wrong(api: BotApi) -> None:
    api.world.me |= {"has_topics_enabled": True, "can_read_all_group_messages": True}
    api.group(GROUP, forum=True)
    assert [str(finding) for finding in await findings(api, chats=[GROUP])] == [
        ACCEPTED,
        "✓ telegram     topics in private chats are on: each run there gets a topic of its own",
        "✓ telegram     privacy mode is off: in its groups the bot reads everything that is said",
        f"✓ telegram     “Group” ({GROUP}): a forum, in which the bot may all it needs",
    ]


async def test_what_the_account_does_not_allow(api: BotApi) -> None:
    api.world.me["can_join_groups"] = False
    api.group(GROUP, forum=True)
    assert [str(finding) for finding in await findings(api, chats=[GROUP])][1:4] == [
        (
            "⚠ telegram     topics in private chats are off: runs there are chains of replies. For a topic each, "
            "switch Threaded Mode on in @BotFather (Bot Settings) and start again"
        ),
        (
            "✓ telegram     privacy mode is on: in groups the bot hears commands and replies to its messages; where it "
            "is an admin, everything"
        ),
        "⚠ telegram     the bot cannot be added to groups: switch “Allow Groups” on in @BotFather (Bot Settings)",
    ]


async def test_who_allows_no_group_need_not_read_of_them(api: BotApi) -> None:
    api.world.me["can_join_groups"] = False
    assert await said(api) == []


async def test_a_wrong_token(api: BotApi) -> None:
    (found,) = await findings(api, token="4242:AAE-of-another-bot-altogether-0000000")
    assert found.grave
    assert str(found) == (
        "✗ telegram     Telegram does not accept TELEGRAM_TOKEN. @BotFather shows the right one (/mybots, API Token) "
        "or makes a new one."
    )


async def test_a_token_that_is_taken_away_meanwhile(api: BotApi) -> None:
    api.group(GROUP)
    api.fail("getChat", Fault.unauthorized())
    found = await findings(api, chats=[GROUP])
    assert found[-1].grave
    assert found[-1].words.startswith("Telegram does not accept TELEGRAM_TOKEN.")


async def test_nobody_answers(api: BotApi) -> None:
    await api.refuse()
    (found,) = await findings(api)
    assert (found.good, found.grave) == (False, False)
    assert found.words.startswith("Telegram cannot be reached: ")
    assert found.words.endswith(f". {NO_WAY}")
    assert api.token.partition(":")[2] not in found.words


async def test_a_page_of_somebody_in_between(api: BotApi) -> None:
    api.fail("getMe", Fault(Kind.PROXY, status=403))
    (found,) = await findings(api)
    assert found.words == f"Telegram cannot be reached: an answer that is not Telegram's (HTTP 403). {NO_WAY}"


async def test_a_network_that_goes_meanwhile_is_no_chat_that_is_missing(api: BotApi) -> None:
    api.group(GROUP)
    api.fail("getChat", Fault(Kind.CUT_BEFORE))
    assert (await said(api, chats=[GROUP]))[-1].endswith(f". {NO_WAY}")


async def test_one_who_asks_too_often_is_told_when_to_ask_again(api: BotApi) -> None:
    api.fail("getMe", Fault(Kind.WAIT, seconds=7))
    (found,) = await findings(api)
    assert found.words == "Telegram asks for patience. Try again in 7 s"


async def test_an_answer_that_never_comes_is_waited_for_not_too_long(api: BotApi) -> None:
    api.fail("getWebhookInfo", Fault(Kind.HALF_OPEN))
    began = asyncio.get_running_loop().time()
    found = await said(api)
    assert found == ["⚠ telegram     Telegram did not answer all questions within 10 s; try again."]
    assert asyncio.get_running_loop().time() - began < SECONDS + 1


async def test_a_webhook_of_somebody_else(api: BotApi) -> None:
    api.world.updates.hook({"url": "https://others.example/secret-way"})
    assert await said(api) == [
        (
            "⚠ telegram     a webhook is set: Telegram brings what people write to others.example, and this bot polls. "
            "Its next start takes the webhook away; if another program needs it, give this bot a token of its own"
        )
    ]


OURS = "https://army.example"


@pytest.mark.parametrize("url", ["", "https://others.example/secret-way"])
async def test_a_webhook_that_is_not_ours_yet(api: BotApi, url: str) -> None:
    api.world.updates.hook({"url": url} if url else None)
    where = "to others.example" if url else "nowhere"
    assert await said(api, webhook_url=OURS) == [
        f"⚠ telegram     updates go {where} and not to TELEGRAM_WEBHOOK_URL; the next start changes that"
    ]


async def test_a_webhook_that_works(api: BotApi) -> None:
    api.world.updates.hook({"url": f"{OURS}/webhooks/telegram"})
    assert await said(api, webhook_url=OURS) == [
        "✓ telegram     Telegram brings updates to army.example; 0 updates wait"
    ]


async def test_a_webhook_through_which_nothing_gets(api: BotApi) -> None:
    date = 1_767_225_600
    hook = {"url": f"{OURS}/webhooks/telegram", "last_error_date": date, "last_error_message": "Connection refused"}
    api.world.updates.hook(hook)
    assert await said(api, webhook_url=OURS) == [
        "⚠ telegram     Telegram brings updates to army.example; 0 updates wait",
        (
            "⚠ telegram     Telegram could not bring updates at 2026-01-01 00:00 UTC: Connection refused. The address "
            "must reach this bot's /webhooks/telegram over HTTPS"
        ),
    ]


async def test_what_waits_to_be_fetched(api: BotApi) -> None:
    await api.person(7, "Ann").says(api.private(api.person(7, "Ann")), "hello?")
    assert await said(api) == ["✓ telegram     1 update waits at Telegram for the bot to fetch them"]
    assert len(api.world.updates.waiting) == 1, "looking takes nothing away"


async def test_it_sends_no_bot_away_that_polls_meanwhile(scene: Scene) -> None:
    async with scene.life() as chat:
        await said(scene.api, chats=[GROUP])
        await scene.ann.says(scene.home, "still there?")
        await until(lambda: "still there?" in scene.core.texts)
        assert chat.pulse().trouble == ""
    assert {call.status for call in scene.api.called("getUpdates")} <= {200, 0}


@pytest.fixture
async def scene(api: BotApi) -> Scene:
    ann = api.person(7, "Ann")
    group = api.group(GROUP)
    api.street.member(group, ann)
    return Scene(api, ann, api.private(ann), group)


async def test_a_chat_that_is_not_there(api: BotApi) -> None:
    assert await said(api, chats=[GROUP]) == [f"{ENTRY}Telegram: Chat not found. {ADD}"]


async def test_a_group_that_threw_the_bot_out(api: BotApi) -> None:
    api.group(GROUP, bot="kicked")
    assert await said(api, chats=[GROUP]) == [
        f"{ENTRY}Telegram: Forbidden: bot was kicked from the supergroup chat. {ADD}"
    ]


async def test_a_group_that_has_moved(api: BotApi) -> None:
    group = api.group(-7)
    api.street.migrate(group, GROUP)
    api.world.updates.waiting.clear()
    assert await said(api, chats=[-7]) == [
        (
            f"⚠ telegram     chat -7 of TELEGRAM_ALLOWED_CHATS: This group became a supergroup with the new id "
            f"{GROUP}; allow that id, and go on there."
        )
    ]


async def test_a_private_chat_and_a_channel_are_no_groups(api: BotApi) -> None:
    api.private(api.person(7, "Ann"))
    api.channel(GROUP)
    assert await said(api, chats=[GROUP, 7]) == [
        f"⚠ telegram     “Channel” ({GROUP}): this is a channel, where nobody can talk to a bot; take a group",
        (
            "⚠ telegram     “Ann” (7): a private chat needs no entry in TELEGRAM_ALLOWED_CHATS, only its person in "
            "TELEGRAM_ALLOWED_USERS"
        ),
    ]


async def test_a_group_without_topics(api: BotApi) -> None:
    api.group(GROUP)
    assert await said(api, chats=[GROUP]) == [f"{HERE}{NO_TOPICS}"]


PIN = "the bot may not pin messages, so the dashboard is not pinned. "


async def test_a_forum_in_which_the_bot_is_nobody(api: BotApi) -> None:
    api.group(GROUP, forum=True, bot="member")
    assert await said(api, chats=[GROUP]) == [
        (
            f"{HERE}a forum, but the bot is no admin, so runs are chains of replies there. Make it an admin with "
            f"“Manage Topics”; {PIN}Make it an admin with “Pin Messages”"
        )
    ]


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (
            "can_manage_topics",
            (
                "a forum, but the bot lacks the right to manage topics, so runs are chains of replies there. Give it "
                "“Manage Topics”"
            ),
        ),
        ("can_pin_messages", f"{PIN}Give it “Pin Messages”"),
    ],
)
async def test_a_forum_in_which_the_bot_lacks_a_right(api: BotApi, lacking: str, words: str) -> None:
    api.group(GROUP, forum=True, rights=RIGHTS - {lacking})
    assert await said(api, chats=[GROUP]) == [f"{HERE}{words}"]


async def test_a_group_that_the_bot_left_and_can_still_see(api: BotApi) -> None:
    group = api.group(GROUP, forum=True)
    group.bot = "left"
    group.admits = lambda: None  # type: ignore[method-assign]  # a public group is seen from outside
    assert await said(api, chats=[GROUP]) == [f"{HERE}the bot is not in this group; add it"]
