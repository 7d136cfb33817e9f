"""The cursor on a run's frames: which of the lines that arrive are new, and when to ask for them again.

A connection may bring stale lines, repeat what is known, or leave some out; nothing is taken except the very next one.
It knows neither how the lines travel nor what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.wire import Beat, Frame, Live


@dataclass(slots=True)
class Batch:
    """What to do about some arrived frames: record `fresh`, show `live`; `lost` is another epoch; `behind`: resume."""

    fresh: list[Frame] = field(default_factory=list)
    live: list[Live] = field(default_factory=list)
    lost: str = ""
    behind: bool = False


def sift(frames: Iterable[Frame | Live], *, epoch: str, past: tuple[str, ...], n: int) -> Batch:
    """Keep of `frames` what comes next after frame `n` of `epoch` (empty: none known yet).

    Frames of past epochs are leftovers in a pipe. The first word of an epoch that was never seen means that the pod's
    state was lost; sifting stops there, since the rest counts from 1 again: call again after recording that.
    """
    batch = Batch()
    for frame in frames:
        if isinstance(frame, Frame):
            their_epoch, known = frame.epoch, frame.n
        elif isinstance(frame, Beat):
            their_epoch, known = frame.epoch, frame.n + 1
        else:
            batch.live.append(frame)
            continue
        if their_epoch in past:
            continue
        if not epoch:
            epoch = their_epoch
        if their_epoch != epoch:
            batch.lost = their_epoch
            break
        if isinstance(frame, Beat):
            batch.live.append(frame)
        elif frame.n == n + 1:
            batch.fresh.append(frame)
            n += 1
        if known > n + 1:
            batch.behind = True
    return batch
