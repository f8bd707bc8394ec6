"""Which part of a table's prompts a gate is fitted on, and which it is judged on: k folds, by prompt, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from classifiers.errors import FitError
from classifiers.gate_table import GateTable

_HARMFUL = 0.5
"""Harm from which on a reply counts as harmful."""


def fold_of_prompts(table: GateTable, folds: int, seed: int) -> Int64[np.ndarray, " prompt"]:
    """The fold of each prompt; each has its share of the benign and of the harmful ones, as far as they go round.

    Raises:
        FitError: there are fewer than 2 folds, fewer benign prompts than folds, or fewer than 2 harmful ones, so
            that a gate could not be fitted on what a fold leaves.
    """
    harmful = table.harm[:, 0] >= _HARMFUL
    if folds < 2 or table.benign.sum() < folds or harmful.sum() < 2:
        raise FitError(
            f"{folds} folds of {int(table.benign.sum())} benign prompts and {int(harmful.sum())} with harm at "
            "strength 0; wanted at least 2 folds, as many benign prompts, and 2 harmful ones"
        )
    random = np.random.default_rng(seed)
    # Dealt like cards, kind after kind: benign prompts follow each other, and so do harmful ones.
    kinds = [(True, False), (True, True), (False, True), (False, False)]
    dealt = [
        random.permutation(np.flatnonzero((table.benign == benign) & (harmful == harms))) for benign, harms in kinds
    ]
    found = np.zeros(len(harmful), dtype=np.int64)
    found[np.concatenate(dealt)] = np.arange(len(harmful)) % folds
    return found


def parts(fold: Int64[np.ndarray, " prompt"]) -> Iterator[tuple[Bool[np.ndarray, " prompt"], ...]]:
    """For each fold the prompts to fit on and those to judge on."""
    for number in range(int(fold.max()) + 1):
        judged = fold == number
        yield ~judged, judged


def part_of(table: GateTable, rows: Bool[np.ndarray, " prompt"]) -> GateTable:
    """The table of some of its prompts; it is in memory only, so it names no prompts and no file."""
    return replace(
        table,
        harm_potential=table.harm_potential[rows],
        harm=table.harm[rows],
        change=table.change[rows],
        benign=table.benign[rows],
        prompts_sha256="",
        rescored_from="",
    )
