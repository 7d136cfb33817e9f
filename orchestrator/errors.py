"""The four ways in which things fail, drawn once. Anything else that is raised is a bug and ends the run it hit.

Trouble
├── Refused   the person may not, or it cannot be done: shown to the person as it stands
├── Busy      the outside asks for patience: tried again after `seconds`
├── Gone      the pod, thread or message is no more: ends or re-homes what needed it
└── Broken    the outside failed a promise: tried again, then shown as one line
"""

from __future__ import annotations


class Trouble(Exception):
    """Raised by ports instead of a vendor's exception; its text is a sentence for people."""


class Refused(Trouble):
    """The person may not, or what was asked cannot be done."""


MOST_PATIENCE = 3600.0
"""Seconds after which we ask again, however long the other side wants to be left alone."""


class Busy(Trouble):
    """The other side wants to be left alone for `seconds`; what it said is kept within reason.

    `everywhere`: not only in the place that was spoken to.
    """

    def __init__(self, words: str, *, seconds: float, everywhere: bool = False) -> None:
        super().__init__(words)
        self.everywhere = everywhere
        self.seconds = min(max(0.0, seconds), MOST_PATIENCE)  # in this order, which makes 0 of what is not a number


class Gone(Trouble):
    """What was addressed does not exist any more."""


class Broken(Trouble):
    """The outside failed. `unsure`: the work may have been done although no answer came."""

    def __init__(self, words: str, *, unsure: bool = False) -> None:
        super().__init__(words)
        self.unsure = unsure
