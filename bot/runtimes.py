"""Where agents run, as the settings say: here, or in a cluster. The cluster's library is loaded only then."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.local import LocalCredentials, LocalRuntime
from bot.claude import ensure_claude
from bot.countdown import Countdown
from bot.gateway import token
from bot.greeting import VERSION
from bot.settings import Settings, guest_environment, held_credentials
from orchestrator.checkup import Finding
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Expiry, Gateway, Runtime, Store

if TYPE_CHECKING:
    from adapters.kubernetes import Door, Guest, Warmth

AGENT_IMAGE = f"ghcr.io/rj-ai-army/agent:{VERSION}"
SECRET = "agent-credentials"  # noqa: S105 - the name of one
NO_MODEL = (
    "no credential for a model is set. Put ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN (from `claude setup-token`) "
    "into .env and start the bot again."
)
RENEW = {
    "key": "Make a new API key, put it where the old one is, and its last day into CREDENTIALS_EXPIRE",
    "token": "Run `claude setup-token`, put what it prints where the old one is, and its end into CREDENTIALS_EXPIRE",
    "gateway": "Agree on a new GATEWAY_KEY with the gateway, and put its last day into CREDENTIALS_EXPIRE",
    "login": "Log in again with the login pod",
}
"""What to do before it runs out."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A runtime, which drivers cannot work on it, each with the reason, and what is told of it beside its runs."""

    runtime: Runtime
    countdown: Countdown
    unavailable: Mapping[str, str] = field(default_factory=dict)
    warmth: Callable[[], Warmth] | None = None


@asynccontextmanager
async def open_runtime(settings: Settings, environ: Mapping[str, str], *, store: Store) -> AsyncIterator[Ground]:
    """The runtime for as long as the block lasts. Raises `Trouble` where the way to a cluster cannot be found."""
    known = known_expiries(settings)
    if settings.runtime == "kubernetes":
        from adapters.kubernetes import KubernetesRuntime, Warm  # noqa: PLC0415 - a second, for nothing elsewhere

        door, guest = way(settings, environ)
        warm = Warm(settings.warm_pods, lambda: _usual(store))
        async with KubernetesRuntime(door, guest, warm=warm, expiries=known) as pods:
            # Credentials are in the cluster: what is missing there shows when an agent asks.
            countdown = Countdown(pods.credentials.expiries, known=known)
            yield Ground(pods, countdown, warmth=pods.warmth if warm.count else None)
        return
    given, unavailable = await _local(settings, environ)
    runs = settings.data_dir.absolute() / "runs"
    credentials = LocalCredentials(
        held_credentials(settings), gateway=gateway_of(settings), kind=settings.credential, expiries=known
    )
    async with LocalRuntime(runs, python=sys.executable, env=given, credentials=credentials) as processes:
        yield Ground(processes, Countdown(credentials.expiries), unavailable)


def way(settings: Settings, environ: Mapping[str, str]) -> tuple[Door, Guest]:
    """Where the cluster is, and what all its agents have in common."""
    from adapters.kubernetes import Door, Guest  # noqa: PLC0415 - see above

    door = Door.of(
        environ, namespace=settings.kube_namespace, context=settings.kube_context, kubeconfig=settings.kubeconfig
    )
    guest = Guest(
        image=settings.agent_image or AGENT_IMAGE,
        runtime_class=settings.runtime_class,
        disk=settings.agent_disk,
        secret=SECRET,
        credential=settings.credential,
        gateway=gateway_of(settings),
    )
    return door, guest


def gateway_of(settings: Settings) -> Gateway | None:
    """The gateway that knows runs, if there is one."""
    if not settings.gateway_key:
        return None
    key, budget = settings.gateway_key.reveal(), settings.max_budget_usd

    def signed(run: RunId, agent: Agent) -> str:
        return token(run, agent, key=key, budget_usd=budget)

    return Gateway(settings.anthropic_base_url, signed)


def known_expiries(settings: Settings) -> Sequence[Expiry]:
    """The ends that the operator wrote down."""
    return [Expiry(kind, at, RENEW[kind]) for kind, at in settings.credentials_expire]


async def look_at_cluster(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """What `doctor` says of the cluster."""
    from adapters.kubernetes.checkup import checkup  # noqa: PLC0415 - see above

    door, guest = way(settings, environ)
    return await checkup(door, guest, warm=settings.warm_pods)


async def _usual(store: Store) -> Agent | None:
    """The agent that is launched where nobody says which: for its like, pods are started ahead."""
    agents = await store.agents()
    real = [agent for agent in agents if agent.name != "rehearsal"]
    return next(iter(real or agents), None)


async def _local(settings: Settings, environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The environment of agents on this machine, and why some of them cannot run."""
    given = guest_environment(settings, environ)
    if not settings.has_model:
        return given, {"claude": NO_MODEL}
    cli = await ensure_claude(settings.claude_bin, say=_tell)
    if cli.path is None:
        return given, {"claude": cli.words}
    return given | {"CLAUDE_BIN": str(cli.path)}, {}


def _tell(words: str) -> None:
    sys.stderr.write(words + "\n")
