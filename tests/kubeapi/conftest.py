"""A server and a real client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kubeapi.client import Client, connected
from tests.kubeapi.server import KubeApi


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with KubeApi() as api:
        yield api


@pytest.fixture
async def kube(api: KubeApi, tmp_path: Path) -> AsyncIterator[Client]:
    async with connected(api, tmp_path) as kube:
        yield kube
