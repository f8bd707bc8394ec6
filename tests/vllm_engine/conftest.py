"""Tests that start vLLM, in this process. They run where it is installed: `make test-vllm`."""

from __future__ import annotations

import importlib.util
import os

import pytest

_ENVIRONMENT = {
    # In process: nothing to wait for, and every run gives the same bits.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}

if importlib.util.find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """vLLM and what it imports warn of much that is not ours."""
    for item in items:
        if "vllm_engine" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
