"""Words for people on stderr, often a file on the very disk that is full: then they are lost, and nothing else is.

It knows nothing but stderr.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress


def complain(words: str) -> None:
    """Say one line. Never raises: an agentd that dies of its own complaint would die again and again."""
    with suppress(OSError):
        sys.stderr.write(f"agentd: {words}\n")


def complain_at_length() -> None:
    """Say where the present exception came from."""
    with suppress(OSError):
        traceback.print_exc(file=sys.stderr)
