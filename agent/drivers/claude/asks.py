"""What the agent waits on a person for: the CLI's permission requests as Asks, and answers as what the CLI wants.

An Ask outlives the process that asked: after a crash the CLI asks the same again under new ids, and the same words
asked again are the same Ask. Its digest, kept in the journal's references, tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.driver import Step, Tell
from agent.drivers.claude import tools
from agent.drivers.claude.loose import mapping, objects, word
from agent.drivers.claude.once import Refs
from agent.wire import Answer, Asked, AskWithdrawn, Choice

AGAIN = "The agent was restarted and does not wait for this any more."
OVER = "The agent does not wait for this any more."

_LASTING = frozenset({"addRules", "addDirectories"})


@dataclass(slots=True)
class Request:
    """One permission request of the CLI, with as many Asks as it has questions, asked one after another."""

    id: str
    tool: str
    given: dict[str, Any]
    lasting: list[dict[str, Any]]
    asks: list[Asked]
    answers: list[Answer] = field(default_factory=list)

    @property
    def waits_for(self) -> str:
        """The Ask that is open now."""
        return self.asks[len(self.answers)].ask


class Asks:
    """All that is waited for. `refs` are the driver's."""

    def __init__(self, refs: Refs) -> None:
        self._refs = refs
        self._open: dict[str, Request] = {}
        self._answers: dict[str, Answer] = {}  # until the tool has returned: the CLI may die in between and ask again
        self._left: dict[str, str] = {}  # by digest, the Asks of a former process that nobody asked again yet
        self._former: dict[str, str] = {}  # by tool call, the call of a former process that it repeats

    def restart(self, answers: Mapping[str, Answer]) -> None:
        """A process has started; the one before it waits for nothing any more."""
        self._open.clear()
        self._former.clear()
        self._answers.update({ask: answer for ask, answer in answers.items() if not self._settled(ask)})
        asks = (ref.rpartition(":") for ref in self._refs.of("ask"))
        self._left = {digest: ask for ask, _, digest in asks if not self._settled(ask)}

    @property
    def left_calls(self) -> frozenset[str]:
        """Tool calls of a former process that may be asked about again."""
        return frozenset(_call_of(ask) for ask in self._left.values())

    def request(self, request_id: str, request: dict[str, Any], *, called: dict[str, Any]) -> Iterable[Step]:
        """The CLI asks. `called`: the input with which the model called the tool, more than the request may hold."""
        if request_id in self._open:
            return
        tool, use = word(request.get("tool_name")), word(request.get("tool_use_id")) or request_id
        given = mapping(request.get("input"))
        lasting = _lasting(objects(request.get("permission_suggestions")))
        asks = [self._same(ask) for ask in _asks(tool, use, given, called=called, lasting=lasting)]
        if use not in self._former:
            yield from self.drop_left()  # the agent went another way after its restart
        self._open[request_id] = Request(request_id, tool, given, lasting, asks)
        yield from self._advance(self._open[request_id])

    def answer(self, answer: Answer) -> Iterable[Step]:
        """A person answered; the first answer counts."""
        if answer.ask in self._left.values():
            self._answers.setdefault(answer.ask, answer)  # it is asked again in a moment
            return
        for request in list(self._open.values()):
            if request.waits_for == answer.ask:
                self._answers[answer.ask] = answer
                yield from self._advance(request)

    def returned(self, call: str) -> str:
        """A tool call is over. The answer is a former process's call that is over with it, if there is one."""
        former = self._former.pop(call, "")
        for ask in [ask for ask in self._answers if _call_of(ask) in {call, former}]:
            del self._answers[ask]
        return former

    def cancel(self, request_id: str) -> Iterable[Step]:
        """The CLI withdraws a request."""
        request = self._open.pop(request_id, None)
        if request is not None:
            yield from self._refs.once(AskWithdrawn(request.waits_for, OVER), f"closed:{request.waits_for}")

    def cancel_all(self) -> Iterable[Step]:
        """The turn is over: nothing is waited for."""
        for request_id in list(self._open):
            yield from self.cancel(request_id)
        yield from self.drop_left()

    def drop_left(self) -> Iterable[Step]:
        """What a former process asked is not asked again."""
        for ask in self._left.values():
            if self._answers.pop(ask, None) is None:
                yield from self._refs.once(AskWithdrawn(ask, AGAIN), f"closed:{ask}")
        self._left.clear()

    def _settled(self, ask: str) -> bool:
        return f"closed:{ask}" in self._refs or f"returned:{_call_of(ask)}" in self._refs

    def _same(self, ask: Asked) -> Asked:
        before = self._left.pop(_digest(ask), "")
        if before:
            self._former[_call_of(ask.ask)] = _call_of(before)
        return replace(ask, ask=before or ask.ask)

    def _advance(self, request: Request) -> Iterable[Step]:
        for ask in request.asks[len(request.answers) :]:
            answer = self._answers.get(ask.ask)
            if answer is None:
                yield from self._refs.once(ask, f"ask:{ask.ask}:{_digest(ask)}")
                return
            request.answers.append(answer)
        del self._open[request.id]
        yield respond(request.id, _response(request))


def _call_of(ask: str) -> str:
    return ask.rpartition(":")[0]


def respond(request_id: str, response: dict[str, Any]) -> Tell:
    """The answer to a control request of the CLI."""
    body = {"subtype": "success", "request_id": request_id, "response": response}
    return tell({"type": "control_response", "response": body})


def refuse(request_id: str, subtype: str) -> Tell:
    """The answer to a control request that nobody here can carry out; without one the CLI would wait for ever."""
    body = {"subtype": "error", "request_id": request_id, "error": f"unsupported request: {subtype}"}
    return tell({"type": "control_response", "response": body})


def tell(message: dict[str, Any]) -> Tell:
    """One line for the CLI. ASCII only: no character in it can be taken for the end of a line."""
    return Tell(json.dumps(message).encode() + b"\n")


def _asks(
    tool: str, use: str, given: dict[str, Any], *, called: dict[str, Any], lasting: list[dict[str, Any]]
) -> list[Asked]:
    questions = objects(given.get("questions")) if tool == "AskUserQuestion" else []
    if questions:
        return [_question(f"{use}:{index}", question) for index, question in enumerate(questions)]
    if tool == "ExitPlanMode":
        plan = word(given.get("plan")) or word(called.get("plan")) or "(The agent wrote no plan.)"
        approve = (Choice("Approve", "the agent begins"), Choice("Keep planning"))
        return [Asked(f"{use}:0", "plan", "Is this plan good?", approve, detail=plan)]
    always = [Choice("Allow always", _rules(lasting))] if lasting else []
    choices = (Choice("Allow"), *always, Choice("Deny"))
    detail = tools.detail(tool, given or called)
    return [Asked(f"{use}:0", "permission", tools.question(tool), choices, detail=detail)]


def _question(ask: str, question: dict[str, Any]) -> Asked:
    options = objects(question.get("options"))
    choices = tuple(Choice(word(o.get("label")), word(o.get("description"))) for o in options)
    text = word(question.get("question")) or word(question.get("header")) or "The agent asks."
    return Asked(ask, "question", text, choices, several=question.get("multiSelect") is True)


def _digest(ask: Asked) -> str:
    whole = repr((ask.kind, ask.text, ask.choices, ask.several, ask.detail))
    return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:16]


def _lasting(suggestions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What "Allow always" grants, for this session only: a rule, or else that edits need no asking any more."""
    chosen = [one for one in suggestions if one.get("type") in _LASTING]
    if not any(one.get("type") == "addRules" for one in chosen):
        edits = [one for one in suggestions if one.get("type") == "setMode" and one.get("mode") == "acceptEdits"]
        chosen = edits or chosen
    return [{**one, "destination": "session"} for one in chosen]


def _rules(lasting: list[dict[str, Any]]) -> str:
    rules = [rule for one in lasting for rule in objects(one.get("rules"))]
    named = [f"{word(rule.get('toolName'))}({word(rule.get('ruleContent')) or '*'})" for rule in rules]
    return f"{', '.join(named) or 'such changes'}, until this run ends"


def _response(request: Request) -> dict[str, Any]:
    questions = objects(request.given.get("questions")) if request.tool == "AskUserQuestion" else []
    if questions:
        answers = {
            ask.text: _words(ask, answer) for ask, answer in zip(request.asks, request.answers, strict=True)
        }  # by the question's own words, as the CLI wants it
        return {"behavior": "allow", "updatedInput": {**request.given, "answers": answers}}
    ask, answer = request.asks[0], request.answers[0]
    picked = _labels(ask, answer)[:1]
    if answer.text or picked not in (["Allow"], ["Allow always"], ["Approve"]):
        return {"behavior": "deny", "message": _denial(ask, answer.text)}
    response: dict[str, Any] = {"behavior": "allow", "updatedInput": request.given}
    if picked == ["Allow always"]:
        response["updatedPermissions"] = request.lasting
    return response


def _labels(ask: Asked, answer: Answer) -> list[str]:
    return [ask.choices[pick].label for pick in answer.picks if 0 <= pick < len(ask.choices)]


def _words(ask: Asked, answer: Answer) -> str | list[str]:
    """Labels as a list: joined, a label with a comma in it would read as two. Own words as they are."""
    labels = _labels(ask, answer)
    if answer.text:
        return "; ".join([*labels, answer.text])
    return labels if ask.several else "".join(labels[:1]) or "(no answer)"


def _denial(ask: Asked, text: str) -> str:
    if ask.kind == "plan":
        return f"The person wants the plan changed and says: {text}" if text else "The person wants more planning."
    return f"The person did not allow this and says: {text}" if text else "The person did not allow this."
