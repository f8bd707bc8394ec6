"""Assertions of the contract suites explain themselves as those of a test file do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("engine_contract", "sampling_contract", "selftest_contract")
