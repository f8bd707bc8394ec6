"""docs/selftest.md against the code: checks, tolerances, states."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from server.engines.checks import BATCH, PREFIX, STRENGTH_0, Verdict
from server.engines.embedded.config import DTYPES
from server.engines.embedded.selftest_forwards import COSINE, EXPERTS, SIZE
from server.engines.embedded.selftest_requests import BATCHING
from server.selftest import ENGINE

TEXT = (Path(__file__).parents[2] / "docs" / "selftest.md").read_text()


def test_tolerances_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    documented = {name: tuple(map(float, numbers)) for name, *numbers in rows}
    dtypes = {name: getattr(torch, name) for name in DTYPES}
    assert documented == {n: (COSINE[d], SIZE[d], BATCHING[n], EXPERTS[d]) for n, d in dtypes.items()}


def test_every_check_is_explained_twice() -> None:
    for check in (STRENGTH_0, BATCH, PREFIX):
        assert len(re.findall(rf"^\| `{check}` \|", TEXT, re.MULTILINE)) == 2
    assert "| `canary:BUNDLE` |" in TEXT
    assert f"| `{ENGINE}` |" in TEXT


def test_verdicts_are_named() -> None:
    for verdict in (Verdict.ACCEPTED, Verdict.FAILED):
        assert f"`{verdict}`" in TEXT or f'"{verdict}"' in TEXT
