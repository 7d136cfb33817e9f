"""The token that a run shows to the gateway in front of the model: signed here, checked there, kept nowhere.

It is a JSON Web Token (HS256), which gateways know how to check; the key is shared with the gateway and never leaves
the bot. It names the run, so that the gateway can count and cut off each run by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from orchestrator.nouns import Agent, RunId

ISSUER = "army"
MARGIN_SECONDS = 3600.0
"""What a run may outlive its limits by, until the bot or the cluster ends it."""


def token(run: RunId, agent: Agent, *, key: str, budget_usd: float, clock: Callable[[], float] = time.time) -> str:
    """The token of this run: good until the run must have ended. `budget_usd`: what a run may cost at most."""
    now = clock()
    budget = min(agent.budget_usd or budget_usd, budget_usd)
    claims = {
        "iss": ISSUER,
        "sub": run,
        "agent": agent.name,
        "budget_usd": budget,
        "iat": int(now),
        "exp": int(now + agent.limits.life + agent.limits.start + MARGIN_SECONDS),
    }
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signed}.{_text(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))}"


def _part(thing: dict[str, Any]) -> str:
    return _text(json.dumps(thing, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
