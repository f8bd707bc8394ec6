"""Shape annotations are checked here, under pytest, and never at run time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub_stand_in import StandInHub

# Before torch is imported: threads that spin are ruinous beside a busy neighbour.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import importlib

from jaxtyping import install_import_hook

# Text without shapes, and a hundred times slower when checked: imported before the hook.
importlib.import_module("breakers.demo.corpus")
# Assertions of the contract suites explain themselves as those of a test file do. Before anything imports them.
pytest.register_assert_rewrite("engine_contract", "sampling_contract", "selftest_contract")

install_import_hook(["breakers", "classifiers", "evaluation", "server.engines.embedded"], "beartype.beartype")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    """A Hub of our own, and a client that knows no other."""
    from hub_stand_in import stand_in_hub, use_hub

    with stand_in_hub() as running:
        use_hub(monkeypatch, running.url, tmp_path / "cache")
        yield running
