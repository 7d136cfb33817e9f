from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifests.rendered import Thing, render


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Thing]]:
    return render(tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alerting")
