"""A house with a login in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.kubeapi import KubeApi
from tests.login.stage import RENEWS, STORAGE, House, Tokens


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    """The cluster as the login's own account sees it: what its Role does not grant is refused."""
    things = list(yaml.safe_load_all((STORAGE / "login-refresh.yaml").read_text("utf-8")))
    (role,) = (thing for thing in things if thing["kind"] == "Role")
    async with KubeApi(rbac=role["rules"]) as api:
        yield api


@pytest.fixture
async def tokens() -> AsyncIterator[Tokens]:
    async with Tokens() as tokens:
        yield tokens


@pytest.fixture
def house(tmp_path: Path, api: KubeApi, tokens: Tokens) -> House:
    house = House(tmp_path, api)
    house.env["TOKENS"] = tokens.url
    house.cli(RENEWS)
    return house
