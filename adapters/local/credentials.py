"""The port Credentials on one machine: what the bot's own settings hold, as variables of the run's process.

It keeps nothing and asks nobody. The person's own login on this machine is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.errors import Refused
from orchestrator.nouns import CREDENTIALS, Agent, RunId
from orchestrator.ports import Expiry, Gateway

KEPT_AS = {"key": "ANTHROPIC_API_KEY", "token": "CLAUDE_CODE_OAUTH_TOKEN"}
SHARED_LOGIN = (
    "The credential `login` is the login that the agents of a cluster share, kept and renewed there. Here it would be "
    "your own, and the first agent to renew it would log you out. Make a token with `claude setup-token`, set "
    "CLAUDE_CODE_OAUTH_TOKEN to it, and choose `token`."
)


class LocalCredentials:
    """`held`: all that is set, by the names of variables. `kind`: what agents get that choose nothing."""

    def __init__(
        self,
        held: Mapping[str, str],
        *,
        gateway: Gateway | None = None,
        kind: str = "",
        expiries: Sequence[Expiry] = (),
    ) -> None:
        self._held = dict(held)
        self._gateway = gateway
        self._kind = kind
        self._expiries = sorted(expiries, key=lambda expiry: expiry.at)

    async def give(self, run: RunId, agent: Agent) -> Mapping[str, str]:
        """See `orchestrator.ports.Credentials`."""
        if agent.driver == "rehearsal":
            return {}
        match agent.credential or self._kind:
            case "":
                return dict(self._held)
            case "key" | "token" as kind:
                if not (value := self._held.get(KEPT_AS[kind])):
                    raise Refused(f"The agent {agent.name} is to use a {kind}: {KEPT_AS[kind]} is not set.")
                return {KEPT_AS[kind]: value}
            case "gateway":
                if self._gateway is None:
                    raise Refused(
                        f"The agent {agent.name} is to use a gateway: ANTHROPIC_BASE_URL and GATEWAY_KEY are not set."
                    )
                return {
                    "ANTHROPIC_BASE_URL": self._gateway.url,
                    "ANTHROPIC_AUTH_TOKEN": self._gateway.token(run, agent),
                }
            case "login":
                raise Refused(SHARED_LOGIN)
            case other:
                raise Refused(f"The agent {agent.name} is to use {other[:40]!r}; known are {', '.join(CREDENTIALS)}.")

    async def expiries(self) -> Sequence[Expiry]:
        """See `orchestrator.ports.Credentials`."""
        return self._expiries
