"""The store and every adapter's notes in one SQLite file. Vendor exceptions stop in this package.

It knows how rows are kept and nothing of what a run is for. Only one bot at a time may have the file open; reading it
or backing it up from another process is always possible.
"""

from __future__ import annotations

from adapters.sqlite.backup import backup
from adapters.sqlite.database import Database, open_store

__all__ = ["Database", "backup", "open_store"]
