"""A Discord that does not flatter: REST and gateway on one port of loopback, for tests and for a person at a terminal.

    async with Discord(token="t") as api:
        with pointed(api.rest, api.gateway):
            ... run a discord.Client ...

In virtual time (looptime) it works as it is: buckets, the three seconds, the fifteen minutes, ages and archiving follow
the loop. The client's heartbeats come from a real thread that virtual time does not reach; the gateway names an
interval of 41 real seconds, which no test lasts, and acknowledges by the loop's time unasked, so that a client never
sees its socket idle for the sixty seconds after which it reconnects. A half-open socket is noticed in virtual time.
"""

from tests.discordapi.faults import Fault
from tests.discordapi.interactions import Interaction
from tests.discordapi.people import Person
from tests.discordapi.permissions import Permission
from tests.discordapi.pointed import pointed
from tests.discordapi.server import Discord
from tests.discordapi.world import Channel, Message

__all__ = ["Channel", "Discord", "Fault", "Interaction", "Message", "Permission", "Person", "pointed"]
