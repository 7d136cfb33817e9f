"""Claude Code as a process that speaks stream-json on stdin and stdout."""

from agent.drivers.claude.session import Claude

__all__ = ["Claude"]
