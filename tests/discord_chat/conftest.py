"""The client library is imported here once: it asks for a module of sound that Python is about to drop, and says so."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401
