"""The client library is imported here once, with its warning kept out of the tests."""

import tests.discordapi.pointed  # noqa: F401
