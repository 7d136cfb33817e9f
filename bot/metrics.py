"""What `/metrics` tells: read off the room when asked, nothing is counted twice."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bot.countdown import Countdown
from orchestrator.core import Orchestrator
from orchestrator.nouns import Phase

if TYPE_CHECKING:
    from adapters.kubernetes import Warmth


class RoomMetrics:
    """The room as Prometheus sees it. Seconds, dollars and counts."""

    def __init__(
        self,
        room: Orchestrator,
        *,
        warmth: Callable[[], Warmth] | None = None,
        countdown: Countdown | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._room = room
        self._warmth = warmth
        self._countdown = countdown
        self._clock = clock
        self._began = clock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition, as text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read the room; prometheus-client calls this."""
        live = list(self._room.roster.live.values()) if self._room.roster else []
        runs = GaugeMetricFamily("army_runs", "Live runs by phase", labels=["phase"])
        phases = Tally(run.state.phase for run in live)
        for phase in Phase:
            if phase is not Phase.ENDED:
                runs.add_metric([phase.name.lower()], phases[phase])
        yield runs
        yield GaugeMetricFamily(
            "army_unheard_commands",
            "Commands that no agent has confirmed yet",
            value=sum(len(run.state.pending) for run in live),
        )
        yield GaugeMetricFamily(
            "army_waiting_letters",
            "Messages that stand in no chat yet",
            value=self._room.office.waiting() if self._room.office else 0,
        )
        yield GaugeMetricFamily(
            "army_live_cost_dollars", "What the live runs have cost", value=sum(run.state.cost_usd for run in live)
        )
        yield from self._chats()
        if self._warmth is not None:
            yield from _warm(self._warmth())
        yield self._credentials()
        yield GaugeMetricFamily("army_ready", "1 when people are heard", value=int(self._room.ready.is_set()))
        yield GaugeMetricFamily("army_start_time_seconds", "When the bot began, Unix seconds", value=self._began)

    def _chats(self) -> Iterator[Metric]:
        """How each platform is doing; one that was never heard has no age."""
        label = ["platform"]
        silence = GaugeMetricFamily(
            "army_chat_silence_seconds", "Since the last successful poll or heartbeat", labels=label
        )
        heard = GaugeMetricFamily("army_chat_heard", "1 when people are heard there", labels=label)
        aside = GaugeMetricFamily(
            "army_chat_unreadable", "Updates that could not be read and were kept aside", labels=label
        )
        for chat in self._room.chats:
            pulse = chat.pulse()
            if pulse.heard:
                silence.add_metric([chat.platform], max(0.0, self._clock() - pulse.heard))
            heard.add_metric([chat.platform], int(bool(pulse.heard) and not pulse.trouble))
            aside.add_metric([chat.platform], pulse.aside)
        yield from (silence, heard, aside)

    def _credentials(self) -> Metric:
        """When each credential runs out of which that is known."""
        ends = GaugeMetricFamily(
            "army_credential_expiry_timestamp_seconds", "When it runs out, Unix seconds", labels=["credential"]
        )
        for expiry in self._countdown.expiries if self._countdown is not None else ():
            ends.add_metric([expiry.name], expiry.at)
        return ends


def _warm(warmth: Warmth) -> Iterator[Metric]:
    """The pods that are started ahead, and how many launches found one."""
    pods = GaugeMetricFamily("army_warm_pods", "Pods that wait for a run", labels=["which"])
    pods.add_metric(["wanted"], warmth.wanted)
    pods.add_metric(["ready"], warmth.ready)
    claims = CounterMetricFamily("army_warm_claims", "Runs that were started, by what they found", labels=["found"])
    claims.add_metric(["hit"], warmth.hits)
    claims.add_metric(["miss"], warmth.misses)
    yield from (pods, claims)
