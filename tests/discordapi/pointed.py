"""Point the client library at a server of our own, and back again; only whoever runs the client may do so."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import yarl

with warnings.catch_warnings():
    # The library imports a module for voice that Python 3.13 no longer has, and warns about that before it does.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord.gateway import DiscordWebSocket


@contextmanager
def pointed(rest: str, gateway: str) -> Iterator[None]:
    """Every client of discord.py speaks to these addresses inside."""
    before = discord.http.Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    discord.http.Route.BASE = rest
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    try:
        yield
    finally:
        discord.http.Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before
