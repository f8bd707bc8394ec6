"""Which contracts of an engine in another process are slow tests."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An engine in another process is the same engine: beside one architecture, and one suite, its contracts are slow
    tests. Marked here, because the suites name their architectures themselves."""
    for item in items:
        if item.path.name != "test_apart_contract.py":
            continue
        callspec = getattr(item, "callspec", None)
        model_type = callspec.params.get("model_type", "llama") if callspec is not None else "llama"
        if model_type != "llama" or "Sampling" in item.nodeid or "SelfTest" in item.nodeid:
            item.add_marker(pytest.mark.slow)
