"""The gateway: one zlib stream per connection, sessions that outlive their sockets, and the ways a socket goes wrong.

It sends what it is given and knows nothing of messages, except what an intent hides. Heartbeats: a client beats by the
real clock, which stands still in virtual time; therefore the gateway also acknowledges by the loop's time, unasked.
It does not ask for beats (op 1): the client meters its sends by the real clock too, and an hour of virtual time with
its beats would come to a stand in there.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.discordapi.clock import Clock
from tests.discordapi.errors import Json
from tests.discordapi.line import SENDS_A_MINUTE, Line, Session

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = (
    0,
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    10,
    11,
)

GUILDS, GUILD_MEMBERS, GUILD_PRESENCES = 1 << 0, 1 << 1, 1 << 8
GUILD_MESSAGES, GUILD_REACTIONS, GUILD_TYPING = 1 << 9, 1 << 10, 1 << 11
DIRECT_MESSAGES, DIRECT_REACTIONS, MESSAGE_CONTENT = 1 << 12, 1 << 13, 1 << 15
PRIVILEGED = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT

NEEDED = {  # event: (intent in a guild, intent in a private chat)
    "MESSAGE_": (GUILD_MESSAGES, DIRECT_MESSAGES),
    "MESSAGE_REACTION_": (GUILD_REACTIONS, DIRECT_REACTIONS),
    "THREAD_": (GUILDS, GUILDS),
    "CHANNEL_": (GUILDS, GUILDS),
    "GUILD_": (GUILDS, GUILDS),
    "GUILD_MEMBER_": (GUILD_MEMBERS, GUILD_MEMBERS),
    "TYPING_START": (GUILD_TYPING, GUILD_TYPING),
}
UNRESUMABLE = (4004, 4007, 4009)


class Gateway:
    """The far end of every socket; `ready` and `guilds` are asked when a client identifies."""

    def __init__(
        self,
        clock: Clock,
        *,
        right: Callable[[object], bool],
        ready: Callable[[], Json],
        guilds: Callable[[int], list[Json]],
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.lines: list[Line] = []
        self.connections = 0
        self.identifies = 0
        self.identifies_left = 1000
        self.resumes = 0
        self.disallowed = 0
        """Privileged intents that the portal does not grant; asking for one closes with 4014."""
        self.heartbeat_interval = 41.25
        self.acknowledges_every = 30.0
        self.refuse_resumes = 0
        self.refuse_connections = 0
        self.wrong: list[str] = []
        self.changed = asyncio.Event()
        self._clock = clock
        self._right = right
        self._ready = ready
        self._guilds = guilds
        self.expired = False

    # --- what a test does -----------------------------------------------------------------------------------------

    def dispatch(self, event: str, data: Json, *, guild: int | None = None, private: bool = False) -> None:
        """Send an event to every session that wants it; one without a socket finds it when it resumes."""
        for session in self.sessions.values():
            if _wants(session.intents, event, private=private):
                self._send(session, event, data)

    def dispatch_message(
        self, event: str, full: Json, bare: Callable[[], Json], *, private: bool, spoken_to: bool
    ) -> None:
        """Send a message's event; whoever has no right to its content gets it bare."""
        for session in self.sessions.values():
            if not _wants(session.intents, event, private=private):
                continue
            seen = private or spoken_to or session.intents & MESSAGE_CONTENT
            self._send(session, event, full if seen else bare())

    def close(self, code: int, why: str = "") -> None:
        """Close every socket with this code."""
        for line in list(self.lines):
            line.close(code, why)

    def cut(self) -> None:
        """Break every socket without a word."""
        for line in list(self.lines):
            line.cut()

    def reconnect(self) -> None:
        """Ask every client to reconnect (op 7)."""
        for line in self.lines:
            line.send({"op": RECONNECT, "d": None, "s": None, "t": None})

    def invalidate(self, *, resumable: bool = False) -> None:
        """Tell every client that its session is no more (op 9)."""
        for line in self.lines:
            if not resumable and line.session is not None:
                self.sessions.pop(line.session.id, None)
            line.send({"op": INVALID, "d": resumable, "s": None, "t": None})

    def go_silent(self) -> None:
        """Half-open sockets: they stand, and nothing comes through them any more. New ones are well."""
        for line in self.lines:
            line.silent = True

    async def connected(self, *, within: float = 30.0) -> Session:
        """A session that has its socket, now or as soon as there is one."""
        async with asyncio.timeout(within):
            while True:
                for session in self.sessions.values():
                    if session.line is not None and not session.line.silent:
                        return session
                self.changed.clear()
                await self.changed.wait()

    # --- the socket -----------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One socket from its upgrade to its end."""
        self.connections += 1
        if self.refuse_connections > 0:
            self.refuse_connections -= 1
            return web.Response(status=503)
        way = request.query.get("compress", "")
        if way not in {"", "zlib-stream"} or request.query.get("encoding", "json") != "json":
            self.wrong.append(f"gateway: encoding {request.query.get('encoding')!r}, compress {way!r} are not spoken")
        ws = web.WebSocketResponse(max_msg_size=4096, compress=False, timeout=1.0)
        await ws.prepare(request)
        line = Line(ws, request, compressed=way == "zlib-stream")
        self.lines.append(line)
        line.send({"op": HELLO, "d": {"heartbeat_interval": int(self.heartbeat_interval * 1000)}, "s": None, "t": None})
        try:
            async with asyncio.TaskGroup() as tasks:
                chores = [tasks.create_task(line.write()), tasks.create_task(self._acknowledge(line))]
                try:
                    await self._listen(line)
                finally:
                    for chore in chores:
                        chore.cancel()
        finally:
            self._gone(line)
        return ws

    def _gone(self, line: Line) -> None:
        self.lines.remove(line)
        session = line.session
        if session is not None and session.line is line:
            session.line = None
            goodbye = not line.closing and line.ws.close_code in {WSCloseCode.OK, WSCloseCode.GOING_AWAY}
            if (goodbye and not line.silent) or line.closing in UNRESUMABLE:
                self.sessions.pop(session.id, None)
        self.changed.set()

    async def _acknowledge(self, line: Line) -> None:
        while True:
            await asyncio.sleep(self.acknowledges_every)
            line.send({"op": ACK, "d": None, "s": None, "t": None})

    async def _listen(self, line: Line) -> None:
        async for message in line.ws:
            if message.type is not WSMsgType.TEXT:
                line.close(4002, "Decode error")
                continue
            if line.silent:
                continue
            now = self._clock.loop_time()
            line.received.append(now)
            if len(line.received) > SENDS_A_MINUTE and now - line.received[0] < 60:
                self.wrong.append("gateway: more than 120 sends in a minute")
                line.close(4008, "Rate limited")
                continue
            packet = json.loads(message.data)
            self._receive(line, packet.get("op"), packet.get("d"))

    def _receive(self, line: Line, op: object, data: Any) -> None:
        match op:
            case 1:
                line.send({"op": ACK, "d": None, "s": None, "t": None})
            case 2 if line.session is not None:
                line.close(4005, "Already authenticated")
            case 2:
                self._identify(line, data)
            case 6:
                self._resume(line, data)
            case 3 | 4 | 8 if line.session is None:
                line.close(4003, "Not authenticated")
            case 8:
                self._members(line.session, data)
            case 3 | 4:
                pass
            case _:
                line.close(4001, "Unknown opcode")

    def _identify(self, line: Line, data: Json) -> None:
        self.identifies += 1
        if self.identifies_left <= 0:
            self.expired = True  # the platform resets the token of a bot that identified too often
        if not self._right(data.get("token")):
            line.close(4004, "Authentication failed.")
            return
        intents = data.get("intents")
        if not isinstance(intents, int) or intents < 0:
            line.close(4013, "Invalid intent(s).")
            return
        if intents & self.disallowed:
            line.close(4014, "Disallowed intent(s).")
            return
        self.identifies_left -= 1
        session = Session(secrets.token_hex(16), intents, line=line)
        line.session = session
        self.sessions[session.id] = session
        self._send(session, "READY", self._ready() | {"session_id": session.id})
        for guild in self._guilds(intents):
            self._send(session, "GUILD_CREATE", guild)
        self.changed.set()

    def _resume(self, line: Line, data: Json) -> None:
        self.resumes += 1
        if not self._right(data.get("token")):
            line.close(4004, "Authentication failed.")
            return
        session = self.sessions.get(str(data.get("session_id")))
        seq = data.get("seq")
        lost = session is None or not isinstance(seq, int) or seq > session.seq or _too_late(session, seq)
        if session is None or lost or self.refuse_resumes > 0:
            self.refuse_resumes = max(0, self.refuse_resumes - 1)
            if session is not None:
                self.sessions.pop(session.id)
            line.send({"op": INVALID, "d": False, "s": None, "t": None})
            return
        if session.line is not None:
            session.line.session = None
        line.session, session.line = session, line
        for packet in [packet for packet in session.events if packet["s"] > seq]:
            line.send(packet)
        self._send(session, "RESUMED", {"_trace": []})
        self.changed.set()

    def _members(self, session: Session | None, data: Json) -> None:
        assert session is not None
        guild = next((g for g in self._guilds(GUILD_MEMBERS) if g["id"] == str(data["guild_id"])), None)
        if guild is None:
            return
        asked = {str(one) for one in data.get("user_ids") or []}
        members = [m for m in guild["members"] if not asked or m["user"]["id"] in asked]
        chunk = {"guild_id": guild["id"], "members": members, "chunk_index": 0, "chunk_count": 1, "not_found": []}
        self._send(session, "GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if data.get("nonce") else {}))

    @staticmethod
    def _send(session: Session, event: str, data: Json) -> None:
        session.seq += 1
        packet = {"op": DISPATCH, "t": event, "s": session.seq, "d": data}
        session.events.append(packet)
        if session.line is not None:
            session.line.send(packet)


def _too_late(session: Session, seq: int) -> bool:
    return bool(session.events) and session.events[0]["s"] > seq + 1


def _wants(intents: int, event: str, *, private: bool) -> bool:
    for stem, (in_guild, in_private) in sorted(NEEDED.items(), key=lambda one: -len(one[0])):
        if event.startswith(stem):
            return bool(intents & (in_private if private else in_guild))
    return True
