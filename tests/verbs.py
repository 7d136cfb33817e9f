"""A fake platform by hand: `POST /control/VERB`, for a person or another process. It knows no platform."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

Verb = Callable[..., object]


def verbs(control: object) -> dict[str, Verb]:
    """The public methods by name; what one takes by keyword is the JSON of its request."""
    return {name: verb for name, verb in inspect.getmembers(control, inspect.ismethod) if not name.startswith("_")}


def by_hand(control: object, *refusals: type[Exception]) -> Iterable[web.AbstractRouteDef]:
    """The routes of these methods. What one refuses, or cannot do with what it was given, is answered with 400."""
    known = verbs(control)
    expected: tuple[type[Exception], ...] = (AssertionError, KeyError, TimeoutError, TypeError, ValueError, *refusals)

    async def act(request: web.Request) -> web.Response:
        verb = known.get(request.match_info["verb"])
        if verb is None:
            return web.json_response({"error": f"the verbs are: {', '.join(sorted(known))}"}, status=404)
        try:
            done = verb(**json.loads(await request.text() or "{}"))
            result = await done if isinstance(done, Awaitable) else done
        except expected as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response({"result": result})

    return [web.post("/control/{verb}", act)]
