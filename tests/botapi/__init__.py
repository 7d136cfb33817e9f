"""A Bot API server for tests that does not flatter: it keeps the platform's limits, words and bad days.

    async with BotApi() as api:
        ann = api.person(7, "Ann")
        home = api.private(ann)
        async with telegram.Bot(api.token, base_url=api.url + "/bot", base_file_url=api.url + "/file/bot") as bot:
            await bot.send_message(home.id, "hello")
        assert [message.text for message in api.messages(home.id)] == ["hello"]

Calls that the platform's description does not allow are `api.violations`, and leaving the block fails over them.
By hand: `python -m tests.botapi --port 8081`.
"""

from tests.botapi.faults import ANY, Fault, Kind
from tests.botapi.limits import ROOMY, Family, Limits
from tests.botapi.people import Person
from tests.botapi.server import TOKEN, BotApi, Call
from tests.botapi.texts import units
from tests.botapi.world import Chat, Standing

__all__ = [
    "ANY",
    "ROOMY",
    "TOKEN",
    "BotApi",
    "Call",
    "Chat",
    "Family",
    "Fault",
    "Kind",
    "Limits",
    "Person",
    "Standing",
    "units",
]
