"""A Hub of our own, and a client that knows no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import StandInHub, stand_in_hub, use_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    with stand_in_hub() as running:
        use_hub(monkeypatch, running.url, tmp_path / "cache")
        yield running
