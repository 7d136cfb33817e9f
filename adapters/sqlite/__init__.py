"""The store and every adapter's notes in one SQLite file. Vendor exceptions stop in this package.

It knows how rows are kept and nothing of what a run is for, nor that only one bot may drive a journal: several
processes may have the file open, and each change still happens once.
"""

from __future__ import annotations

from adapters.sqlite.backup import backup
from adapters.sqlite.database import Database, open_store

__all__ = ["Database", "backup", "open_store"]
