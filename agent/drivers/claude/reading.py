"""What the model does in a turn, read from the CLI's lines: text as it grows, blocks, tool calls, how it ended.

It knows messages, not processes, inputs or questions. Whatever stands in a line, it never raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.driver import Step, live_tail
from agent.drivers.claude import tools, words
from agent.drivers.claude.loose import mapping, number, objects, word
from agent.drivers.claude.once import Refs
from agent.wire import TextSoFar, Thought, ToolCalled, ToolReturned, TurnEnded, Wrote

INTERRUPTED = frozenset({"aborted_streaming", "aborted_tools"})
LIMITS = {
    "error_max_budget_usd": "budget",
    "budget_exhausted": "budget",
    "error_max_turns": "turns",
    "max_turns": "turns",
}


class Reading:
    """One process's messages. `refs` are the driver's; paths `inside` the workspace are shortened."""

    def __init__(self, refs: Refs, *, inside: str) -> None:
        self.last_text = ""
        self.calls: dict[str, dict[str, Any]] = {}  # by id, the input of tools that have not returned
        self._refs = refs
        self._inside = inside
        self._growing = ""
        self._total_usd = 0.0

    def reset_cost(self) -> None:
        """The CLI's running total begins at 0 again."""
        self._total_usd = 0.0

    def forget_calls(self) -> list[str]:
        """The tools that have not returned and will not: a budget or an error ended the turn."""
        calls = list(self.calls)
        self.calls.clear()
        return calls

    def streamed(self, message: dict[str, Any]) -> Iterable[Step]:
        """A piece of a message that is being written."""
        event = mapping(message.get("event"))
        if message.get("parent_tool_use_id"):
            return  # a subagent's
        match event.get("type"):
            case "message_start" | "content_block_start":
                self._growing = ""
            case "content_block_delta":
                delta = mapping(event.get("delta"))
                thinking = delta.get("type") == "thinking_delta"
                if piece := word(delta.get("thinking" if thinking else "text")):
                    self._growing += piece
                    yield TextSoFar(live_tail(self._growing), thinking)
            case _:
                pass

    def assistant(self, message: dict[str, Any]) -> Iterable[Step]:
        """A whole block of the model's message."""
        if message.get("is_api_error_message") or message.get("isApiErrorMessage"):
            return  # the CLI's own words; the turn's end says it
        line, own = word(message.get("uuid")), not message.get("parent_tool_use_id")
        for index, block in enumerate(objects(mapping(message.get("message")).get("content"))):
            kind = word(block.get("type"))
            if kind.endswith("tool_use"):
                yield from self._called(block)
            elif own and kind in {"text", "thinking"}:
                yield from self._block(block, f"wrote:{line}:{index}", thinking=kind == "thinking")

    def user(self, message: dict[str, Any]) -> Iterable[tuple[str, ToolReturned]]:
        """Results of tools, with the ids of their calls."""
        for block in objects(mapping(message.get("message")).get("content")):
            call = word(block.get("tool_use_id"))
            if call and word(block.get("type")).endswith("tool_result"):
                self.calls.pop(call, None)
                self.last_text = ""
                output = tools.output(block.get("content"))
                yield call, ToolReturned(call, ok=block.get("is_error") is not True, output=output)

    def ended(self, message: dict[str, Any], *, cap_usd: float, failure: str) -> TurnEnded:
        """How the turn ended. `failure`: why the driver itself broke it off, if it did."""
        cost, tokens_in, tokens_out = self._usage(message)
        said = word(message.get("result"))
        outcome, error = _outcome(message, said, cap_usd)
        if failure and outcome == "interrupted":
            outcome, error = "failed", failure
        text = "" if outcome == "failed" else said or self.last_text
        self.last_text = self._growing = ""
        seconds = max(0.0, number(message.get("duration_ms")) / 1000)
        return TurnEnded(outcome, text, error, cost, tokens_in, tokens_out, round(seconds, 3))

    def _called(self, block: dict[str, Any]) -> Iterable[Step]:
        call, name, given = word(block.get("id")), word(block.get("name")), mapping(block.get("input"))
        if not call:
            return
        self.calls[call] = given
        self.last_text = ""
        summary = tools.summary(name, given, inside=self._inside)
        yield from self._refs.once(ToolCalled(call, name, summary), f"called:{call}")

    def _block(self, block: dict[str, Any], ref: str, *, thinking: bool) -> Iterable[Step]:
        text = word(block.get("thinking" if thinking else "text"))
        if not text.strip():
            return
        if thinking:
            yield from self._refs.once(Thought(text), ref)
        else:
            self.last_text = text
            yield from self._refs.once(Wrote(text), ref)
        self._growing = ""
        yield TextSoFar("", thinking)

    def _usage(self, message: dict[str, Any]) -> tuple[float, int, int]:
        """Dollars and tokens of this turn alone.

        The total goes on after a clean resume and begins at 0 after a crash, so its first value says nothing by itself;
        the figures since the last result do. Without them, an older CLI, the difference of totals must do.
        """
        total = number(message.get("total_cost_usd"))
        since = message.get("model_usage_since_last_result")
        models = objects(list(since.values())) if isinstance(since, dict) else None
        if models is None:
            usage = mapping(message.get("usage"))
            names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            cost, models = total - self._total_usd if total >= self._total_usd else total, []
            came, went = sum(number(usage.get(name)) for name in names), number(usage.get("output_tokens"))
        else:
            names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
            cost = sum(number(model.get("costUSD")) for model in models)
            came = sum(number(model.get(name)) for model in models for name in names)
            went = sum(number(model.get("outputTokens")) for model in models)
        self._total_usd = total
        return max(0.0, cost), max(0, int(came)), max(0, int(went))


def _outcome(message: dict[str, Any], said: str, cap_usd: float) -> tuple[str, str]:
    reason, subtype = word(message.get("terminal_reason")), word(message.get("subtype"))
    limit = LIMITS.get(subtype) or LIMITS.get(reason)
    if limit == "budget":
        return "budget", words.budget(cap_usd)
    if limit:
        return "turns", "The agent took as many steps as it may in one turn."
    if reason in INTERRUPTED:
        return "interrupted", ""
    if message.get("is_error") is True or subtype.startswith("error"):
        errors = message.get("errors")
        whole = said or (" ".join(word(one) for one in errors) if isinstance(errors, list) else "")
        return "failed", words.given_up(int(number(message.get("api_error_status"))), whole)
    return "done", ""
