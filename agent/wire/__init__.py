"""The pipe's vocabulary: what agentd reports, what it is told, and how both become lines.

Plain data and the standard library only; both ends of the pipe share this package and nothing else. It knows no CLI, no
chat and no store. A line is one JSON object in UTF-8, at most `MAX_LINE` bytes with its newline.

Up, a durable frame:  {"n": 7, "epoch": "k3…", "at": 1763940000.1, "kind": "wrote", "body": {…}}
Up, a live frame:     {"at": 1763940000.1, "kind": "beat", "body": {…}}              never stored, may be lost
Down, a command:      {"id": "…", "do": "say", "body": {…}}                          done once for each id
Down, without id:     {"do": "resume", "body": {"epoch": "k3…", "after": 41}}
"""

from agent.wire.bodies import Malformed, kind_name, pack, unpack
from agent.wire.bounds import BEAT_SECONDS, MAX_FILE, MAX_LINE, PIECE
from agent.wire.lines import LIVE, ORDERS, REPORTS, Lines, Unknown, kind_of, line_of, parse_down, parse_up
from agent.wire.orders import Answer, Command, Interrupt, Order, Put, Resume, Say, Start, Stop
from agent.wire.reports import (
    Asked,
    AskWithdrawn,
    Beat,
    Choice,
    CliDied,
    CliStarted,
    FilePiece,
    Finished,
    Frame,
    Heard,
    Live,
    Noticed,
    Other,
    Report,
    Taken,
    TextSoFar,
    Thought,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Wrote,
)

__all__ = [
    "BEAT_SECONDS", "LIVE", "MAX_FILE", "MAX_LINE", "ORDERS", "PIECE", "REPORTS",
    "Answer", "AskWithdrawn", "Asked", "Beat", "Choice", "CliDied", "CliStarted", "Command", "FilePiece", "Finished",
    "Frame", "Heard", "Interrupt", "Lines", "Live", "Malformed", "Noticed", "Order", "Other", "Put", "Report", "Resume",
    "Say", "Start", "Stop", "Taken", "TextSoFar", "Thought", "ToolCalled", "ToolReturned", "TurnEnded", "TurnStarted",
    "Unknown", "Wrote",
    "kind_name", "kind_of", "line_of", "pack", "parse_down", "parse_up", "unpack",
]  # fmt: skip
