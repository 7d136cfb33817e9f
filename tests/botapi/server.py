"""The Bot API on loopback: sockets, the token, and the way of a request through schema, faults, budget and method.

It knows no method itself. All time is the loop's, so that it works in virtual time beside its client.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from tests.botapi import schema
from tests.botapi.ask import Ask, Method
from tests.botapi.courier import deliver
from tests.botapi.editing import EDITING
from tests.botapi.faults import Cut, Fault, Faults, Kind
from tests.botapi.limits import Budget, Limits, family
from tests.botapi.places import PLACES
from tests.botapi.refusal import Careless, Json, Refusal
from tests.botapi.sending import SENDING
from tests.botapi.settings import SETTINGS
from tests.botapi.street import Street
from tests.botapi.wire import fields, good, no
from tests.botapi.world import Standing, World

METHODS: Mapping[str, Method] = SENDING | EDITING | PLACES | SETTINGS
TOKEN = "4242:TEST-token-that-opens-nothing-at-all-000"
MOST_CALLS = 200_000
MOST_BODY = 64 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """A request that came in, at the loop's time; `status` is what it was answered, 0 while or when it was not."""

    at: float
    method: str
    chat: int | None
    thread: int | None
    params: Json
    status: int = 0


Routes = Callable[["BotApi"], Iterable[web.AbstractRouteDef]]
"""What else the server answers."""


class BotApi:
    """The server: `async with BotApi() as api`, then `telegram.Bot(api.token, base_url=api.url + "/bot")`.

    Leaving it fails over `violations`, whatever the client made of the answers.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        port: int = 0,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
        private_topics: bool = False,
        also: Routes | None = None,
    ) -> None:
        self.token = token
        clock = clock or _loop_time
        self.world = World(clock)
        self.world.me["has_topics_enabled"] = private_topics
        self.street = street = Street(self.world)
        self.person, self.private, self.group, self.channel = (
            street.person,
            street.private,
            street.group,
            street.channel,
        )
        self.push_raw = street.push_raw
        self.budget = Budget(limits or Limits(), clock)
        self.faults = Faults()
        self.calls: list[Call] = []
        self._port = port
        self._also = also
        self._runner: web.AppRunner | None = None
        self._tasks = asyncio.TaskGroup()
        self._changed = asyncio.Event()
        self._courier: asyncio.Task[None] | None = None

    # --- being there --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens, or will again on the same port."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._courier = self._tasks.create_task(deliver(self.world.updates))
        await self.listen()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.refuse()
        if self._courier:
            self._courier.cancel()
        await self._tasks.__aexit__(None, None, None)
        if kind is None and self.violations:
            raise AssertionError("The platform would not have it:\n" + "\n".join(self.violations))

    async def listen(self) -> None:
        """Accept connections, on the port of before when there was one."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", "/bot{token}/{method}", self._request)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        app.add_routes(self._also(self) if self._also else ())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Break every connection and accept none until `listen`."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    def go_away(self, seconds: float) -> None:
        """Refuse connections for so long, from now on."""
        self._tasks.create_task(self._away(seconds))

    async def _away(self, seconds: float) -> None:
        await asyncio.sleep(0.01)  # whoever asked for it gets an answer first
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.listen()

    # --- what a test asks ---------------------------------------------------------------------------------------

    @property
    def violations(self) -> list[str]:
        """What the client did that the platform's description does not allow."""
        return self.world.violations

    @property
    def told_to_wait(self) -> int:
        """How often 429 was given."""
        return self.budget.told_to_wait

    @property
    def into_penalty(self) -> int:
        """How many calls came although the chat had been told to wait."""
        return self.budget.into_penalty

    def messages(self, chat_id: int, thread: int | None = None) -> list[Standing]:
        """What stands in a chat now, in order; with a thread only that, 0 being outside of all topics."""
        standing = self.world.chats[chat_id].standing
        return [message for _, message in sorted(standing.items()) if thread is None or message.thread == thread]

    async def seen(
        self, chat_id: int, wanted: Callable[[Standing], bool], *, thread: int | None = None, within: float = 15.0
    ) -> Standing:
        """The first message that is wanted, as soon as it stands there and looks so."""
        async with asyncio.timeout(within):
            while True:
                changed = self._changed
                for message in self.messages(chat_id, thread):
                    if wanted(message):
                        return message
                await changed.wait()

    def called(self, method: str = "", *, chat: int | None = None) -> list[Call]:
        """The calls of a method (of any, when empty), in a chat or anywhere."""
        return [call for call in self.calls if method in {"", call.method} and chat in {None, call.chat}]

    def fail(self, method: str, fault: Fault, *, chat: int | None = None, times: int = 1) -> None:
        """The next so many calls of a method (`ANY`: of any) end in this."""
        self.faults.plan(method, fault, chat=chat, times=times)

    def release(self) -> None:
        """Everything that hangs goes on."""
        self.faults.release()

    # --- a request ----------------------------------------------------------------------------------------------

    async def _request(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return no(Refusal(401, "Unauthorized"))
        name = request.match_info["method"].lower()
        known = schema.methods().get(name)
        given, uploads = await fields(request)
        if known:  # a file under the name of a field is that field; others are named by an attach:// address
            given |= {field: f"attach://{field}" for field in uploads.keys() & known.model_fields.keys()}
        ask = Ask(name, schema.decoded(known, given) if known else given, uploads)
        written = known.__api_method__ if known else request.match_info["method"]
        call = Call(self.world.clock(), written, ask.chat, ask.number("message_thread_id") or None, ask.params)
        self.calls.append(call)
        del self.calls[:-MOST_CALLS]
        try:
            response = await self._answered(ask, known)
        except Cut:
            if request.transport:
                request.transport.abort()
            return web.Response()
        finally:
            self._changed.set()
            self._changed = asyncio.Event()
        call.status = response.status
        return response

    async def _answered(self, ask: Ask, known: schema.Method | None) -> web.Response:
        """The answer, with whatever trouble is planned around the work."""
        fault = self.faults.next(ask.method, ask.chat)
        if fault and fault.kind is Kind.WAIT:
            return no(self.budget.flood(ask.chat, fault.seconds))
        if early := await self.faults.before(fault):
            return early
        try:
            response = good(await self._work(ask, known))
        except Refusal as refusal:
            if isinstance(refusal, Careless):
                self.world.wrong([f"{ask.method}: {refusal.words}"])
            response = no(refusal)
        except Exception:  # noqa: BLE001 - a defect of this server must fail the test that met it
            self.world.wrong([f"{ask.method}: this server broke over it:\n{traceback.format_exc()}"])
            response = no(Refusal(500, "Internal Server Error"))
        return await self.faults.after(fault, response)

    async def _work(self, ask: Ask, known: schema.Method | None) -> object:
        if known is None:
            self.world.wrong([f"{ask.method}: the platform has no such method"])
            raise Refusal(404, "Not Found: method not found")
        if wrong := schema.faults(known, ask.params):
            self.world.wrong(wrong)
            raise Refusal(400, f"Bad Request: {wrong[0]}")
        method = METHODS.get(ask.method)
        if method is None:
            self.world.wrong([f"{ask.method}: the platform has it, this server does not"])
            raise Refusal(404, "Not Found: method not found")
        self._pay(ask)
        result = await method(self.world, ask)
        if ask.method != "getupdates":  # a test may push what nobody can read
            self.world.wrong(schema.answer_faults(known, result)[:3])
        return result

    def _pay(self, ask: Ask) -> None:
        kind = family(ask.method)
        chat = self.world.chats.get(ask.chat or 0)
        if kind and chat:
            cost = len(ask.rows("media")) if ask.method == "sendmediagroup" else 1
            self.budget.take(chat.id, private=chat.private, family=kind, cost=cost)

    async def _file(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self.token:
            return no(Refusal(401, "Unauthorized"))
        path = request.match_info["path"]
        stored = next((found for found in self.world.files.values() if found.path == path), None)
        fault = self.faults.next("file", None)
        if fault and (early := await self.faults.before(fault)):
            return early
        if stored is None:
            return no(Refusal(404, "Not Found"))
        return web.Response(body=stored.content, content_type="application/octet-stream")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
