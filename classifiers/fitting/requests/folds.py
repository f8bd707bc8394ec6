"""Leave-one-dataset-out: each family's rows scored by a fit that has seen none of its sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from classifiers.errors import FitError
from classifiers.fitting.requests.recipes import CATEGORIES, Logits, Recipe
from classifiers.fitting.requests.table import Numbers, RequestTable
from classifiers.fitting.requests.work import WorkFolder
from classifiers.requests.leaving_out import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScores:
    """What the fit without a fold's families says of the rows that the fold measures."""

    fold: LeftOut
    numbers: Numbers
    logits: Logits


Progress = Callable[[str], None]
"""Told the name of each fold that is done."""


def fold_scores(
    table: RequestTable,
    recipe: Recipe,
    folds: Sequence[LeftOut],
    *,
    work: WorkFolder | None = None,
    progress: Progress = lambda _: None,
) -> list[FoldScores]:
    """Fit once a fold.

    Raises:
        FitError: the rows of a fold do not suffice.
    """
    found = []
    for fold in folds:
        train, unseen = table.training(fold), table.measured(fold)
        what = {
            "recipe": f"{recipe.name} {recipe.digest}",
            "train": table.sha256(train),
            "unseen": table.sha256(unseen),
        }
        logits = (work or WorkFolder()).scores(what, partial(recipe.scores, train, unseen))
        wanted = (len(unseen), len(CATEGORIES))
        if logits.shape != wanted or not np.isfinite(logits).all():
            raise FitError(f"without {fold.family} scores of shape {logits.shape}; wanted finite ones of {wanted}")
        found.append(FoldScores(fold=fold, numbers=unseen, logits=logits))
        progress(fold.family)
    return found


def pooled(found: Iterable[FoldScores]) -> tuple[Numbers, Logits]:
    """Every row that a fold measures, once: with the scores of the first fold that measures it."""
    parts = list(found)
    numbers = np.concatenate([part.numbers for part in parts])
    logits = np.concatenate([part.logits for part in parts])
    rows, first = np.unique(numbers, return_index=True)
    return rows, logits[first]
