"""What letters are called. A key says what is told and where, so that it is told once, however often it is written.

Every key is made and taken apart here and nowhere else. It knows nothing of what a letter says.
"""

from __future__ import annotations

from orchestrator.nouns import MessageId, RunId

REFUSED = "/refused"
MOVED = "/moved"


def page_key(run: RunId, page: int) -> str:
    """The letter that a run's page is."""
    return f"{run}/page/{page}"


def is_page(key: str, run: RunId) -> bool:
    """Whether a letter is a page of this run, wherever it stands."""
    return key.startswith(f"{run}/page/")


def entry_key(run: RunId, entry: str) -> str:
    """The letter that an entry causes. What agents call their asks and files would not do as a key: they forget."""
    return f"{run}/{entry}"


def welcome_key(run: RunId) -> str:
    """The letter that tells a place which run this is."""
    return f"{run}/welcome"


def at_seat(key: str, seat: int) -> str:
    """The letter that says the same in another place of the run."""
    return f"{key}@{seat}" if seat else key


def seatless(key: str) -> str:
    """The letter that says the same in the run's first place."""
    return key.partition("@")[0]


def last_look(key: str) -> str:
    """The letter that edits this one for the last time."""
    return f"{key}/last"


def moved(key: str) -> str:
    """The letter that says the same where the run went on after it lost a place."""
    return seatless(key) + MOVED


def anew(key: str, old: MessageId) -> str:
    """The message that takes the place of a page's old one."""
    return f"{key}/after/{old}"


def refused(key: str) -> str:
    """The letter that says that a platform did not take this one."""
    return key + REFUSED


def is_excuse(key: str) -> bool:
    """Whether a letter stands for one that a platform did not take."""
    return key.endswith(REFUSED)
