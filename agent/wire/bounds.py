"""The bounds that both ends of the pipe keep: how large, and how long silent.

Numbers only; who goes beyond one, and what happens then, is not known here.
"""

MAX_LINE = 1 << 20
"""Bytes of the longest line, newline included. A longer one is dropped by whoever reads it."""

PIECE = 256 << 10
"""Bytes of a file in one piece, before base64: the line that carries it stays far below `MAX_LINE`."""

MAX_FILE = 32 << 20
"""Bytes of the largest file that travels either way."""

BEAT_SECONDS = 15.0
"""Silence longer than three of these means that the stream is dead, not that the agent thinks."""
