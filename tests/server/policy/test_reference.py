"""docs/policy.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.access.caller import AccessScope
from server.audit import Action
from server.policy.reference import rendered

TEXT = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()


def test_the_table_of_keys_is_what_the_code_makes() -> None:
    assert rendered(TEXT) == TEXT
    with pytest.raises(ValueError, match="wanted the marks"):
        rendered("nothing")


def test_every_scope_and_action_is_documented() -> None:
    cells = set(re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| ([^|]+) \|", TEXT, re.MULTILINE))))
    assert set(AccessScope) | set(Action) <= cells
